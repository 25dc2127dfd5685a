"""Estimate what was drawn for single images from their descriptions: the statistics that sets are compared by.

Fearnhead and Prangle, "Constructing summary statistics for approximate Bayesian computation", JRSS B 74(3), 2012: the
best statistics of simulated data are the posterior means of the parameters, which regression on simulations gives.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from degrade.fit.simulate import Drawn

_WIDTH = 96
_BATCH = 256
_EPOCHS = 20
_CLIP = 8.0
_RATE = 3e-3
_NOISE = 0.2  # standard deviations added to features in training: photographs differ by more than those given
_STAGE = "stage."


class ImageEstimator:
    """Small networks from features to parameters: their means given the features, and the chance of each stage.

    There is a network per fold of the photographs, trained on the others, so that what is said of a simulated image
    does not come from its own photograph; a real image gets the mean of all.

    Args:
        features: (M, F) descriptions of simulated images.
        drawn: what was drawn for them.
        photographs: (M,) int64, the number of the photograph that each was made of.
        steps: of training each network; by default 20 epochs, from 200 to 1500 steps.
        folds: how many.
        seed: of weights, batches and folds.
    """

    def __init__(
        self,
        features: Tensor,
        drawn: Drawn,
        photographs: Tensor,
        steps: int | None = None,
        folds: int = 3,
        seed: int = 0,
    ) -> None:
        values, acted = drawn.values, drawn.acted
        steps = min(max(_EPOCHS * len(features) // _BATCH, 200), 1500) if steps is None else steps
        weight = acted.sum(0).clamp_min(1)
        center = (values * acted).sum(0) / weight
        unit = (((values - center).square() * acted).sum(0) / weight).sqrt()
        stage = torch.tensor([name.startswith(_STAGE) for name in drawn.names])
        self.kept = stage | (unit > 1e-9)
        self.names = [name for name, kept in zip(drawn.names, self.kept.tolist(), strict=True) if kept]
        owners = [name for name, kept in zip(drawn.stages, self.kept.tolist(), strict=True) if kept]
        self.stages = [self.names.index(owner) if owner else -1 for owner in owners]
        self.is_stage = stage[self.kept]
        self.center = torch.where(self.is_stage, 0.0, center[self.kept])
        self.unit = torch.where(self.is_stage, 1.0, unit[self.kept])
        self.feature_center, self.feature_unit = features.mean(0), features.std(0).clamp_min(1e-6)
        x = self._input(features)
        y = ((values[:, self.kept] - self.center) / self.unit).float()
        count = int(photographs.max()) + 1
        self.fold = torch.randperm(count, generator=torch.Generator().manual_seed(seed)) % folds
        own = self.fold[photographs]
        self.networks = []
        for number in range(folds):
            some = own != number
            some = some if some.any() else torch.ones_like(some)
            self.networks.append(
                _trained(x[some], y[some], acted[some][:, self.kept].float(), self.is_stage, steps, seed)
            )

    def _input(self, features: Tensor) -> Tensor:
        return ((features - self.feature_center) / self.feature_unit).clamp(-_CLIP, _CLIP).float()

    def __call__(self, features: Tensor, photographs: Tensor | None = None) -> Tensor:
        """(B, F) -> (B, K) float64: expected values, in standard deviations of the simulations; chances of stages.

        Args:
            features: of simulated images, with their photographs; or of real ones.
            photographs: (B,) int64.
        """
        with torch.no_grad():
            all_found = torch.stack([network(self._input(features)) for network in self.networks])
        all_found = torch.where(self.is_stage, torch.sigmoid(all_found), all_found).double()
        if photographs is None:
            return all_found.mean(0)
        return all_found[self.fold[photographs], torch.arange(len(features))]


def _trained(x: Tensor, y: Tensor, acted: Tensor, stage: Tensor, steps: int, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Linear(x.shape[1], _WIDTH),
            nn.SiLU(),
            nn.Linear(_WIDTH, _WIDTH),
            nn.SiLU(),
            nn.Linear(_WIDTH, y.shape[1]),
        )
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps)
    with torch.enable_grad():
        for _ in range(steps):
            some = torch.randint(len(x), (_BATCH,), generator=generator)
            found = network(x[some] + _NOISE * torch.randn(_BATCH, x.shape[1], generator=generator))
            squares = functional.huber_loss(found, y[some], reduction="none", delta=2.0)
            entropy = functional.binary_cross_entropy_with_logits(found, y[some].clamp(0, 1), reduction="none")
            loss = (torch.where(stage, entropy, squares) * acted[some]).sum() / acted[some].sum().clamp_min(1)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return network.eval()
