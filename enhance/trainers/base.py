"""Trainer: what the one training loop needs to know of a network's way of training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from degrade.stream import Source
from degrade.stream.base import Stream
from enhance.configuration import check_bounds
from enhance.networks.base import EnhancementNetwork

Losses = dict[str, Tensor]
"""The losses of a step by name, detached scalars: what the log shows."""


@dataclass(frozen=True)
class Sources:
    """What a run trains on.

    Attributes:
        high: good images, with the maps that the trainer names in `maps`.
        low: real bad images without a counterpart, for those that take some.
    """

    high: Source
    low: Source | None = None


class Updater(Protocol):
    """What the loop lends to a step: one call makes a loss into an update."""

    def __call__(self, name: str, loss: Tensor) -> None:
        """Gradients of the loss, averaged over the processes and clipped, then a step of the optimiser `name`."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What every trainer has; those of a network give their own defaults. Everything is in the checkpoint.

    Numbers beyond `enhance.configuration.BOUNDS` raise ValueError.

    Attributes:
        steps: updates of the enhancing network in all.
        batch_size: images of a step on each process.
        size: side that images are resized to, pixels; a pair is drawn from; None leaves it.
        crop: side of the random window that is trained on, pixels; None takes all.
        recipe: the degradation: a name, or a recipe as TOML.
        channels: of the images, 1 or 3.
        clip: largest norm of the gradient of an update; 0 for none.
        seed: of the weights and of the stream.
    """

    steps: int
    batch_size: int
    size: int | tuple[int, int] | None
    crop: int | None
    recipe: str
    channels: int
    clip: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_bounds(self)


class Trainer(ABC):
    """A network's way of training: its networks, its optimisers, its step. `enhance.training` does everything else.

    Class attributes:
        name: what commands call it: that of its network.
        config_class: its configuration.
        needs_low: whether it trains on real bad images too (`Sources.low`): "no", "may", "must".

    Attributes:
        config: of this run.
        networks: everything with weights, saved and loaded as a whole; all of it lives on one device.
        optimisers: by name; each updates the parameters it was made with.
        maps: of the source's maps, those without which this configuration cannot train.
    """

    name: ClassVar[str]
    config_class: ClassVar[type[Config]]
    needs_low: ClassVar[str] = "no"

    networks: nn.ModuleDict
    optimisers: dict[str, Optimizer]
    maps: tuple[str, ...] = ()

    def __init__(self, config: Config) -> None:
        self.config = config

    @property
    @abstractmethod
    def enhancer(self) -> EnhancementNetwork:
        """The network that enhances: it is validated, and it is what a checkpoint is used for."""

    @abstractmethod
    def stream(self, sources: Sources, **placing: Any) -> Stream[Any]:
        """The batches of training; `placing` is workers, device, rank, world_size, cache_bytes: for the stream."""

    @abstractmethod
    def step(self, batch: Any, number: int, update: Updater) -> Losses:
        """One step on one batch: forward, losses, and an `update` for each optimiser in turn.

        Args:
            batch: what `stream` yields, on the device.
            number: of the step, from 0.
            update: makes losses into updates; call it within the step, as often as there are optimisers.
        """

    def rate(self, number: int) -> Mapping[str, float]:
        """The learning rate of each optimiser in step `number`; those not named keep theirs.

        Read `self.config.steps` here and not before: a run by epochs learns its steps from its stream.
        """
        return {}

    def state(self) -> dict[str, Any]:
        """What is neither weight nor optimiser and must survive a resume, such as an image pool: tensors, numbers."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restores what `state` gave."""
        if state:
            raise ValueError(f"trainer {self.name!r} has no state of its own; the checkpoint has {', '.join(state)}")

    def parameters(self, optimiser: str) -> Iterator[nn.Parameter]:
        """The parameters that an optimiser updates."""
        for group in self.optimisers[optimiser].param_groups:
            yield from group["params"]


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Within it the weights of some networks gather no gradients, though gradients flow through them."""
    weights = [weight for module in modules for weight in module.parameters() if weight.requires_grad]
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)
