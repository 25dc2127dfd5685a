"""The one training loop: devices, precision, validation, checkpoints, log, pictures, resume."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn

from degrade import keyed
from degrade.stream import Source
from degrade.stream.base import Stream
from enhance.checkpoints import BEST, WEIGHTS, load_checkpoint, save_checkpoint, write_weights
from enhance.log import Log
from enhance.meter import Meter
from enhance.processes import Interruption, RunError, first_only, gather, settled, team
from enhance.rundir import check_sources, prepare
from enhance.trainers.base import Sources, Trainer
from enhance.validation import Validation, is_better

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run is carried out. None of this changes what is learned, but for `epochs`, `ema` and `precision`.

    Attributes:
        epochs: length of the run instead of the configuration's `steps`.
        devices: "auto", a number of GPUs, "cpu" or "cpu:N": see `enhance.processes.team`.
        precision: "32-true", or "bf16-mixed".
        workers: processes that decode images, for each process of the run; 0 decodes in it.
        cache_bytes: of decoded images to keep in memory, in each process.
        validate_every: steps between validations; there is one at the end too.
        validate_images: at most so many of the images kept out, the same ones each time.
        save_every: steps between checkpoints; there is one at the beginning and at the end too.
        log_every: steps that a line of the log is about.
        ema: decay per step of a running average of the enhancer's weights, in [0, 1); 0 keeps none. The average is
            what is validated and what `load_enhancer` gives.
        tensorboard: write its events too.
        bar: show a progress bar where the terminal can.
    """

    epochs: int | None = None
    devices: str = "auto"
    precision: str = "32-true"
    workers: int = 0
    cache_bytes: int = 0
    validate_every: int = 500
    validate_images: int = 32
    save_every: int = 500
    log_every: int = 50
    ema: float = 0.0
    tensorboard: bool = False
    bar: bool = True

    def __post_init__(self) -> None:
        for name in ("validate_every", "validate_images", "save_every", "log_every", "epochs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RunError(f"{name} = {value}: at least 1")
        if not 0 <= self.ema < 1:
            raise RunError(f"ema = {self.ema}: allowed is at least 0 and less than 1")


def train(
    trainer: Trainer,
    sources: Sources,
    run_dir: str | Path,
    options: Options | None = None,
    *,
    held_out: Source | None = None,
    resume: bool = False,
    overwrite: bool = False,
    files: Mapping[str, str] | None = None,
) -> None:
    """Trains until `trainer.config.steps`, and leaves weights, log and pictures in a folder.

    Every process makes its own share of each step's images. The same configuration, seed, sources and number of
    processes give the same weights, on a CPU to the bit, however often the run was killed and resumed.

    Args:
        trainer: from `enhance.trainers.trainer`; its networks and optimisers are changed in place.
        sources: what it trains on.
        run_dir: a folder, which must be new or empty unless one of the next two is given.
        options: how.
        held_out: images to validate on, none of which should be in `sources`: see `enhance.holdout.hold_out`.
        resume: go on where the run in the folder stopped, however it stopped.
        overwrite: delete the run in the folder first.
        files: texts to keep in the folder by name, such as run.toml.

    Raises:
        RunError: a folder, options or sources that cannot be used, or a loss that is no number.
        CheckpointError: resume with a damaged checkpoint, or one of another configuration.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once the step is done and a checkpoint saved.
        OSError: a file cannot be written; the checkpoint before is intact.
    """
    run, options = Path(run_dir), options or Options()
    check_sources(trainer, sources)
    with ExitStack() as stack:
        fabric = stack.enter_context(team(options.devices, options.precision))
        stack.enter_context(settled(fabric.device))
        interruption = stack.enter_context(Interruption())
        first_only(fabric, lambda: prepare(run, resume, overwrite, files or {}))

        stream = _stream(trainer, sources, fabric, options)
        config = trainer.config
        trainer.networks.to(fabric.device)
        average = copy.deepcopy(trainer.enhancer).requires_grad_(False) if options.ema else None
        step, best = _begin(run, trainer, average, stream, fabric)
        validation = None
        if held_out is not None:
            validation = Validation(held_out, config, options.validate_images, fabric.device)
        log = Log(run, fabric.is_global_zero, step, config.steps, options.bar, options.tensorboard)
        stack.callback(log.close)
        meter = Meter(fabric, config.batch_size * fabric.world_size)
        update = FabricUpdater(fabric, trainer)
        batches = meter.timed(_endless(stream))

        while step < config.steps:
            batch = next(batches)
            _prepare_step(trainer, step, fabric)
            with fabric.autocast():
                losses = trainer.step(batch, step, update)
            step += 1
            if average is not None:
                _follow(average, trainer.enhancer, min(options.ema, step / (step + 10)))
            meter.add(step, losses)
            log.advance()

            last = step == config.steps
            validating = validation is not None and (last or step % options.validate_every == 0)
            saving = last or step % options.save_every == 0
            stopping = interruption.came and fabric.world_size == 1  # several processes agree at the next line
            if saving or validating or stopping or step % options.log_every == 0:
                line, stopping = meter.line(stream.epoch, trainer, interruption.came)
                log.training(line)
            try:
                if validating and validation is not None and fabric.is_global_zero:
                    network = average if average is not None else trainer.enhancer
                    with fabric.autocast():
                        found = validation(network, run / "samples" / f"step_{step:06d}.png")
                    log.validation({"step": step, "validation": found})
                    if is_better(found["psnr"], best):
                        best = found["psnr"]
                        write_weights(run / BEST, trainer, step, average)
            finally:  # what has been trained outlives an error in looking at it
                if saving or stopping:
                    _save(run, trainer, average, stream, fabric, step, best)
            if stopping:
                raise KeyboardInterrupt


class FabricUpdater:
    """Makes a loss into an update: gradients, their mean over the processes, clipping, a step of the optimiser.

    The gradients are averaged here, in one flat message after the backward pass, and not by DistributedDataParallel:
    its hooks count on one backward pass for each forward pass of a module, which a GAN does not have. A parameter
    must have a gradient in all processes or in none.
    """

    def __init__(self, fabric: Fabric, trainer: Trainer) -> None:
        self._fabric, self._trainer = fabric, trainer

    def __call__(self, name: str, loss: Tensor) -> None:
        optimiser = self._trainer.optimisers[name]
        parameters = list(self._trainer.parameters(name))
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(self._fabric.device.type, enabled=False):  # the backward pass has the types of the forward
            self._fabric.backward(loss)
        self._average([weight.grad for weight in parameters if weight.grad is not None])
        if self._trainer.config.clip:
            nn.utils.clip_grad_norm_(parameters, self._trainer.config.clip)
        optimiser.step()
        torch.clear_autocast_cache()  # else what follows in this step would see the old weights in bfloat16

    def _average(self, gradients: list[Tensor]) -> None:
        if self._fabric.world_size == 1 or not gradients:
            return
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self._fabric.world_size
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, mean in zip(gradients, torch.split(flat, sizes), strict=True):
            gradient.copy_(mean.view_as(gradient))


def _stream(trainer: Trainer, sources: Sources, fabric: Fabric, options: Options) -> Stream[Any]:
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


def _begin(
    run: Path, trainer: Trainer, average: nn.Module | None, stream: Stream[Any], fabric: Fabric
) -> tuple[int, float | None]:
    """The step to go on from and the best PSNR so far: those of the checkpoint, if there is one."""
    if (run / WEIGHTS).exists():
        state = load_checkpoint(run, trainer, average)
        stream.load_state_dict(state["stream"])
        own = state["trainer"]
        trainer.load_state(own[fabric.global_rank % len(own)])
        fabric.barrier()
        return state["step"], state["best"]
    for tensor in trainer.networks.state_dict().values():  # equal already, unless the trainer was made without a seed
        if fabric.world_size > 1:
            distributed.broadcast(tensor, src=0)
    if average is not None:
        average.load_state_dict(trainer.enhancer.state_dict())
    _save(run, trainer, average, stream, fabric, 0, None)
    return 0, None


def _prepare_step(trainer: Trainer, step: int, fabric: Fabric) -> None:
    """Learning rates and seed of a step: functions of its number, so that nothing of them needs to be saved."""
    torch.manual_seed(keyed.string_id(f"{trainer.config.seed} {step} {fabric.global_rank}"))
    for name, rate in trainer.rate(step).items():
        for group in trainer.optimisers[name].param_groups:
            group["lr"] = rate


def _endless(stream: Stream[Any]) -> Iterator[Any]:
    """The batches from where the stream is, epoch after epoch."""
    while True:
        yield from stream
        stream.set_epoch(stream.epoch + 1)


def _follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Moves the average towards the network; what is no weight, such as a running mean, is copied."""
    with torch.no_grad():
        for mean, weight in zip(average.parameters(), network.parameters(), strict=True):
            mean.lerp_(weight, 1 - decay)
        for kept, buffer in zip(average.buffers(), network.buffers(), strict=True):
            kept.copy_(buffer)


def _save(
    run: Path,
    trainer: Trainer,
    average: nn.Module | None,
    stream: Stream[Any],
    fabric: Fabric,
    step: int,
    best: float | None,
) -> None:
    """A checkpoint, written by the first process."""
    own = gather(fabric, trainer.state())
    if not fabric.is_global_zero:
        return
    for name, weight in trainer.networks.named_parameters():
        if not bool(weight.isfinite().all()):
            raise RunError(f"{name} is no longer finite after step {step}; the checkpoint before is intact")
    state = {"stream": stream.state_dict(), "trainer": own, "best": best}
    save_checkpoint(run, trainer, step, average, state)
