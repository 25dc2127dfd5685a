"""Trainer: base class of how a network is trained: its networks, optimizers, stream of batches, step and losses."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, TypeVar

from torch import Tensor, nn
from torch.optim import Optimizer

from degrade.stream import Source
from degrade.stream.base import Stream
from enhance.configuration import check_bounds
from enhance.networks.base import EnhancementNetwork

StreamType = TypeVar("StreamType", bound=Stream[Any])

Losses = dict[str, Tensor]
"""Losses of a step by name, detached scalars, for the log."""


@dataclass(frozen=True)
class Sources:
    """Images that a run trains on.

    Attributes:
        high: good images, with the maps that the trainer lists in `maps`.
        low: real bad images, unpaired, for trainers that use them; with `low_recipe` good ones.
        low_recipe: recipe that makes the bad images of unpaired training on the fly, of `low`, or without `low` of one
            half of `high`: its name or TOML text.
        pairs: whether the degraded images of supervised training exist: they are the map "degraded" of `high`, as of
            `degrade.pairs.PairedDataset`, and the configuration's recipe is not used.
    """

    high: Source
    low: Source | None = None
    low_recipe: str | None = None
    pairs: bool = False


class Updater(Protocol):
    """Callback: backpropagates a loss and steps that optimizer."""

    def __call__(self, name: str, loss: Tensor) -> None:
        """Backpropagate `loss`, average gradients over the processes, clip them, and step the optimizer `name`."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Configuration that every trainer has; each network's subclass sets defaults. It is saved in checkpoints.

    Numbers beyond `enhance.configuration.BOUNDS` raise ValueError.

    Attributes:
        steps: updates of the enhancing network in the whole run; 0 follows from `epochs` and the number of images.
        epochs: passes over the images to train on, where `steps` is 0.
        batch_size: images of a step on each process.
        size: side that images are resized to, pixels; of a pair, a random one between the two; None keeps theirs.
        crop: side of the random window that is cut out, pixels; None keeps the whole image.
        recipe: degradation: name of a recipe, or its TOML text.
        channels: of the images, 1 or 3.
        clip: largest norm of the gradient of an update; 0 for no clipping.
        seed: for the initial weights and for the stream.
    """

    steps: int = 0
    epochs: int = 1
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
    """How a network is trained: its networks, optimizers and step. `enhance.training` has the loop around them.

    Class attributes:
        name: of its network, for commands and checkpoints.
        config_class: class of its configuration.
        needs_low: whether it uses real bad images (`Sources.low`): "no", "may" or "must".

    Attributes:
        config: of this run.
        networks: every module with weights, saved and loaded together, on one device.
        optimizers: by name; each updates the parameters it was made with.
        maps: names of the source's maps that this configuration needs.
        epoch_steps: steps of an epoch; 0 before `timed`.
    """

    name: ClassVar[str]
    config_class: ClassVar[type[Config]]
    needs_low: ClassVar[str] = "no"

    networks: nn.ModuleDict
    optimizers: dict[str, Optimizer]
    maps: tuple[str, ...] = ()
    epoch_steps: int = 0

    def __init__(self, config: Config) -> None:
        self.config = config

    @property
    def optimisers(self) -> dict[str, Optimizer]:
        """Former name of `optimizers`, for trainers written before."""
        _warn_of_former_name()
        return self.optimizers

    @optimisers.setter
    def optimisers(self, optimizers: dict[str, Optimizer]) -> None:
        _warn_of_former_name()
        self.optimizers = optimizers

    @property
    @abstractmethod
    def enhancer(self) -> EnhancementNetwork:
        """The network that enhances images: it is validated, and loaded by `load_enhancer`."""

    @abstractmethod
    def stream(self, sources: Sources, **placing: Any) -> Stream[Any]:
        """Batches to train on. `placing` goes to the stream: workers, device, rank, world_size, cache_bytes."""

    def timed(self, stream: StreamType) -> StreamType:
        """Note the steps of an epoch of a stream, take the steps of the run from them if it counts epochs; the stream.

        The loop calls it; so do the five trainers in `stream`, so that loops of one's own have the schedules too.
        """
        self.epoch_steps = len(stream)
        if not self.config.steps:
            self.config = replace(self.config, steps=self.config.epochs * len(stream))
        return stream

    @abstractmethod
    def step(self, batch: Any, number: int, update: Updater) -> Losses:
        """One training step: forward pass, losses, and an `update` for each optimizer in turn.

        Args:
            batch: one of `stream`, on the device.
            number: of the step, counted from 0.
            update: call it once for each optimizer, with the loss that it minimizes.
        """

    def rate(self, number: int) -> Mapping[str, float]:
        """Learning rate of each optimizer in step `number`; optimizers that are missing keep theirs.

        Read `self.config.steps` here and not earlier: with `epochs` it is set once the stream is known.
        """
        return {}

    def state(self) -> dict[str, Any]:
        """State to save beside weights and optimizers, such as an image pool: tensors, numbers, texts, dicts, lists."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        if state:
            raise ValueError(f"trainer {self.name!r} has no state of its own; the checkpoint has {', '.join(state)}")

    def parameters(self, optimizer: str) -> Iterator[nn.Parameter]:
        """Parameters that an optimizer updates."""
        for group in self.optimizers[optimizer].param_groups:
            yield from group["params"]


def _warn_of_former_name() -> None:
    warnings.warn("Trainer.optimisers is now called optimizers", DeprecationWarning, stacklevel=3)


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Context in which weights of modules get no gradients, while gradients flow through the modules."""
    weights = [weight for module in modules for weight in module.parameters() if weight.requires_grad]
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)
