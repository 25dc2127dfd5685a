"""The beginning of a run, new or resumed: everything is checked before anything is written."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import distributed

from degrade.stream.base import Stream
from enhance.checkpoints import BEST, DamagedError, read_weights
from enhance.networks.base import EnhancementNetwork
from enhance.trainers.base import Sources, Trainer
from enhance.training.options import Options
from enhance.training.processes import RunError, all_or_none, first_only, gather
from enhance.training.run_checkpoints import Checkpoints, Found
from enhance.training.rundir import prepare, write_failed

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_TOLD = logging.getLogger("enhance.training")


@dataclass
class Place:
    """How far a run has come.

    Attributes:
        checkpoints: of the run.
        step: how many steps have been done.
        best: the highest PSNR of a validation so far, dB.
        failed: ids of the images that could not be used so far, in any process, and why.
    """

    checkpoints: Checkpoints
    step: int = 0
    best: float | None = None
    failed: dict[str, str] = field(default_factory=dict)


def open_stream(trainer: Trainer, sources: Sources, fabric: Fabric, options: Options) -> Stream[Any]:
    """The trainer's stream for this process. Sets the configuration's steps where epochs are given."""
    stream = trainer.stream(
        sources,
        workers=options.workers,
        device=fabric.device,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
        cache_bytes=options.cache_bytes,
    )
    if not len(stream):
        state = stream.state_dict()
        raise RunError(
            f"batch_size = {max(state['batch_sizes'])}: more than the {min(state['samples'])} samples of an epoch"
        )
    if options.epochs is not None:
        trainer.config = replace(trainer.config, steps=options.epochs * len(stream))
    if trainer.config.steps < 1:
        raise RunError(f"steps = {trainer.config.steps}: at least 1")
    return stream


def begin(
    run: Path,
    trainer: Trainer,
    average: EnhancementNetwork | None,
    stream: Stream[Any],
    fabric: Fabric,
    keep: int,
    resume: bool,
    overwrite: bool,
    files: Mapping[str, str],
) -> Place:
    """The place to go on from: that of the newest whole checkpoint, or the start of a new run, which is saved.

    Args:
        run: the folder, which is locked and checked.
        trainer, average, stream: they get the state of the checkpoint, if there is one.
        fabric: the processes; the first one reads the folder and writes.
        keep: checkpoints to keep.
        resume, overwrite, files: as of `enhance.training.train`.

    Raises:
        CheckpointError, RunError: nothing has been written then.
    """
    place = Place(Checkpoints(run, keep))
    found = first_only(fabric, lambda: place.checkpoints.newest() if resume else None)
    if found is not None:
        whole: Found = found
        all_or_none(fabric, lambda: _go_on(run, whole, place, trainer, average, stream, fabric))

    def write() -> None:
        prepare(run, overwrite, files)
        if found is not None:
            place.checkpoints.establish(found)

    first_only(fabric, write)
    if found is None:
        for tensor in trainer.networks.state_dict().values():  # equal already, unless the trainer has no seed
            if fabric.world_size > 1:
                distributed.broadcast(tensor, src=0)
        if average is not None:
            average.load_state_dict(trainer.enhancer.state_dict())
        save(place, trainer, average, stream, fabric)
    return place


def save(
    place: Place, trainer: Trainer, average: EnhancementNetwork | None, stream: Stream[Any], fabric: Fabric
) -> None:
    """A checkpoint, written by the first process; the others wait until it is there."""
    own = gather(fabric, trainer.state())
    for failed in gather(fabric, stream.failed):
        place.failed |= failed

    def write() -> None:
        for name, weight in trainer.networks.named_parameters():
            if not bool(weight.isfinite().all()):
                raise RunError(f"{name} is no longer finite after step {place.step}; the checkpoint before is intact")
        state = {"stream": stream.state_dict(), "trainer": own, "best": place.best, "failed": place.failed}
        place.checkpoints.save(trainer, place.step, average, state)
        write_failed(place.checkpoints.run, place.failed)

    first_only(fabric, write)


def _go_on(
    run: Path,
    found: Found,
    place: Place,
    trainer: Trainer,
    average: EnhancementNetwork | None,
    stream: Stream[Any],
    fabric: Fabric,
) -> None:
    """Take everything over from a checkpoint. Nothing is written."""
    state = place.checkpoints.load(found, trainer, average)
    if state["step"] > trainer.config.steps:
        raise RunError(f"steps = {trainer.config.steps}: {os.fspath(run)!r} has done {state['step']} already")
    try:
        stream.load_state_dict(state["stream"])
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{os.fspath(run)!r} was begun on other images, in another order, with another seed or batch size: {error}"
        ) from None
    own = state["trainer"]
    trainer.load_state(own[fabric.global_rank % len(own)])
    place.step, place.best, place.failed = state["step"], state["best"], dict(state.get("failed", {}))
    if place.best is not None and fabric.is_global_zero:
        try:
            read_weights(run / BEST)
        except DamagedError as error:
            place.best = None
            _TOLD.warning("%s; the next validation writes it anew", error)
