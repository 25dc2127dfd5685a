"""Start a run or resume it, and save its progress. Everything is checked before anything is written."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
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

_LOGGER = logging.getLogger("enhance.training")


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        checkpoints: of the run.
        step: number of steps done.
        best: highest PSNR of all validations so far, dB.
        failed: ids of images that could not be used so far, in any process, with the reason.
    """

    checkpoints: Checkpoints
    step: int = 0
    best: float | None = None
    failed: dict[str, str] = field(default_factory=dict)


def open_stream(trainer: Trainer, sources: Sources, fabric: Fabric, options: Options) -> Stream[Any]:
    """Open the trainer's stream for this process, and set the steps of a configuration that counts epochs."""
    stream = trainer.stream(
        sources,
        workers=options.workers,
        device=fabric.device,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
        cache_bytes=options.cache_bytes,
        **options.stream(),
    )
    if not len(stream):
        state = stream.state_dict()
        raise RunError(
            f"batch_size = {max(state['batch_sizes'])}: more than the {min(state['samples'])} samples of an epoch"
        )
    if options.epochs is not None:
        trainer.config = replace(trainer.config, steps=options.epochs * len(stream))
    trainer.timed(stream)
    if trainer.config.steps < 1:
        raise RunError(f"steps = {trainer.config.steps}: at least 1")
    return stream


def announcement(trainer: Trainer, stream: Stream[Any], fabric: Fabric) -> str:
    """One line about a run before its first step: steps, epochs, images a step, parameters, device."""
    steps = trainer.config.steps
    count = sum(weight.numel() for weight in trainer.networks.parameters() if weight.requires_grad)
    threads = torch.get_num_threads()
    device = f"{threads} thread{'s' * (threads > 1)} of the CPU"
    if fabric.device.type == "cuda":
        device = torch.cuda.get_device_name(fabric.device)
    if fabric.world_size > 1:
        device += f" in each of {fabric.world_size} processes"
    return (
        f"{steps:,} steps ({steps / len(stream):.4g} epochs of {len(stream):,} steps), "
        f"{trainer.config.batch_size * fabric.world_size} images a step, {count:,} parameters to train, on {device}"
    )


def start(
    run: Path,
    trainer: Trainer,
    average: EnhancementNetwork | None,
    stream: Stream[Any],
    fabric: Fabric,
    keep: int,
    resume: bool,
    overwrite: bool,
    files: Mapping[str, str],
) -> Progress:
    """Resume from the newest undamaged checkpoint, or start a new run and save its first checkpoint.

    Args:
        run: the folder, which is locked and checked.
        trainer, average, stream: set to the state of the checkpoint, if there is one.
        fabric: processes of the run; only the first one reads and writes the folder.
        keep: number of checkpoints to keep.
        resume, overwrite, files: as of `enhance.training.train`.

    Raises:
        CheckpointError, RunError: and nothing has been written.
    """
    progress = Progress(Checkpoints(run, keep))
    found = first_only(fabric, lambda: progress.checkpoints.newest() if resume else None)
    if found is not None:
        whole: Found = found
        all_or_none(fabric, lambda: _restore(run, whole, progress, trainer, average, stream, fabric))

    def write() -> None:
        prepare(run, overwrite, files)
        if found is not None:
            progress.checkpoints.establish(found)

    first_only(fabric, write)
    if found is None:
        for tensor in trainer.networks.state_dict().values():  # equal already, unless the trainer has no seed
            if fabric.world_size > 1:
                distributed.broadcast(tensor, src=0)
        if average is not None:
            average.load_state_dict(trainer.enhancer.state_dict())
        save(progress, trainer, average, stream, fabric)
    return progress


def save(
    progress: Progress, trainer: Trainer, average: EnhancementNetwork | None, stream: Stream[Any], fabric: Fabric
) -> None:
    """Save a checkpoint in the first process; the others wait until it is written."""
    own = gather(fabric, trainer.state())
    for failed in gather(fabric, stream.failed):
        progress.failed |= failed

    def write() -> None:
        for name, weight in trainer.networks.named_parameters():
            if not bool(weight.isfinite().all()):
                step = progress.step
                raise RunError(f"{name} is no longer finite after step {step}; the checkpoint before is intact")
        state = {"stream": stream.state_dict(), "trainer": own, "best": progress.best, "failed": progress.failed}
        progress.checkpoints.save(trainer, progress.step, average, state)
        write_failed(progress.checkpoints.run, progress.failed)

    first_only(fabric, write)


def _restore(
    run: Path,
    found: Found,
    progress: Progress,
    trainer: Trainer,
    average: EnhancementNetwork | None,
    stream: Stream[Any],
    fabric: Fabric,
) -> None:
    """Set trainer, average, stream and progress to the state of a checkpoint. Nothing is written."""
    state = progress.checkpoints.load(found, trainer, average)
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
    progress.step, progress.best, progress.failed = state["step"], state["best"], dict(state.get("failed", {}))
    if progress.best is not None and fabric.is_global_zero:
        try:
            read_weights(run / BEST)
        except DamagedError as error:
            progress.best = None
            _LOGGER.warning("%s; the next validation writes it anew", error)
