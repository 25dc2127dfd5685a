"""The training loop.

`train` prepares a run: processes, stream, networks, validation, the locked folder, the last checkpoint, the log.
`_Loop.run` makes the steps. Each gets a batch, agrees with the other processes to continue, and calls the trainer,
whose losses `updates.FabricUpdater` turns into updates; then come running average, log, validation and checkpoint.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from degrade.files import locked
from degrade.rng import keyed
from degrade.stream import Source, StreamError
from degrade.stream.base import Stream
from enhance.checkpoints import BEST, write_weights
from enhance.networks.base import EnhancementNetwork
from enhance.trainers.averaging import update_average
from enhance.trainers.base import Sources, Trainer
from enhance.training import curves, loggers
from enhance.training.agreement import Agreement
from enhance.training.interruption import Interruption, Stopped
from enhance.training.log import Log, read
from enhance.training.meter import Meter
from enhance.training.options import Options
from enhance.training.outlook import Outlook
from enhance.training.processes import ElsewhereError, RunError, first_only, settled, team
from enhance.training.progress import Progress, announcement, open_stream, save, start
from enhance.training.rundir import check_folder, check_sources
from enhance.training.updates import FabricUpdater
from enhance.training.validation import Validation, is_better

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_GRACE = 1.0
"""Seconds to wait, after a worker process was killed, for the same signal to reach this process."""


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
) -> dict[str, str]:
    """Train for `trainer.config.steps` steps; weights, log and pictures are written to a folder.

    Every process makes its share of the images of each step. The same configuration, seed, sources and number of
    processes give the same weights, on a CPU to the bit, however often the run was killed and resumed.

    Args:
        trainer: from `enhance.trainers.trainer`; its networks and optimizers are changed in place.
        sources: images to train on.
        run_dir: folder of the run, new or empty unless `resume` or `overwrite` is given.
        options: see `Options`.
        held_out: images to validate on, none of them in `sources`: see `enhance.holdout.hold_out`.
        resume: continue the run in the folder from its last checkpoint.
        overwrite: delete the run in the folder first.
        files: texts to keep in the folder by name, such as run.toml.

    Returns:
        ids of images that could not be used, with the reason; other images were used instead. RUN/failed.jsonl lists
        them too.

    Raises:
        RunError: a folder, options or sources that cannot be used, or a loss that is not finite.
        CheckpointError: on a resume every checkpoint is damaged, or the configuration is another one.
        LockedError: another process writes to the folder.
        Stopped: a KeyboardInterrupt, after Ctrl-C, SIGTERM, SIGHUP, SIGUSR1 or SIGXCPU, once the step is done and a
            checkpoint saved.
        StreamError: a process that decodes images died; a run of one process saves its steps first.
        OSError: a file cannot be written; the last checkpoint is intact.
    """
    run, options = Path(run_dir), options or Options()
    check_sources(trainer, sources)
    loggers.check(options.logger)
    with ExitStack() as stack:
        fabric = stack.enter_context(team(options.devices, options.precision))
        stack.enter_context(settled(fabric.device))
        interruption = stack.enter_context(Interruption())
        stream = open_stream(trainer, sources, fabric, options)
        trainer.networks.to(fabric.device)
        average = copy.deepcopy(trainer.enhancer).requires_grad_(False) if options.ema else None
        validation = None
        if held_out is not None:
            limit = options.validate_images
            validation = Validation(held_out, trainer.config, limit, fabric.device, sources.pairs, **options.placing())
        first_only(fabric, lambda: _lock(run, resume, overwrite, stack))
        progress = start(run, trainer, average, stream, fabric, options.keep, resume, overwrite, files or {})
        logger = loggers.opened(options.logger, run, progress.step) if fabric.is_global_zero else None
        log = Log(run, fabric.is_global_zero, progress.step, trainer.config.steps, options.bar, logger)
        stack.callback(log.close)
        log.say(announcement(trainer, stream, fabric))
        if resume:
            log.say(f"Going on from step {progress.step}" if progress.step else "Beginning: the run has no step yet")
        loop = _Loop(run, trainer, average, stream, validation, log, fabric, options, interruption, progress)
        try:
            loop.run()
        except RuntimeError as error:
            if interruption.signal is None or not _is_aftermath(error, fabric):
                raise
            raise Stopped(interruption.signal, loop.saved, loop.saved == loop.step) from None
        return progress.failed


def _lock(run: Path, resume: bool, overwrite: bool, stack: ExitStack) -> None:
    """Lock the folder of the run until the stack closes; nothing else in it is changed."""
    check_folder(run, resume, overwrite)  # before locking, which writes a file
    stack.enter_context(locked(run))
    check_folder(run, resume, overwrite)


class _Loop:
    """The steps of a run.

    Attributes:
        step: number of steps done.
        saved: number of steps done at the last checkpoint.
    """

    def __init__(
        self,
        run: Path,
        trainer: Trainer,
        average: EnhancementNetwork | None,
        stream: Stream[Any],
        validation: Validation | None,
        log: Log,
        fabric: Fabric,
        options: Options,
        interruption: Interruption,
        progress: Progress,
    ) -> None:
        self._run, self._trainer, self._average, self._stream = run, trainer, average, stream
        self._validation, self._log, self._fabric, self._options = validation, log, fabric, options
        self._interruption, self._progress = interruption, progress
        self._agree, self._update = Agreement(fabric), FabricUpdater(fabric, trainer)
        self._meter = Meter(fabric, trainer.config.batch_size * fabric.world_size)
        self._batches = self._meter.timed(_endless(stream))
        self.step = self.saved = progress.step
        self._missing = False  # what draws the curves
        self._outlook = Outlook(progress.step, trainer.config.steps, slow=fabric.device.type == "cpu")

    def run(self) -> None:
        """Make all remaining steps; every process stops after the same one."""
        steps, alone = self._trainer.config.steps, self._fabric.world_size == 1
        while self.step < steps:
            if alone and self._interruption.signal is not None:
                self._stop(self._interruption.signal)
            batch, problem = self._next()
            failed, signal = self._agree(problem is not None, self._interruption.signal)
            if failed:
                self._fail(problem, signal)
            self._one_step(batch)
            if line := self._outlook.line(self.step):
                self._log.say(line)
            last = self.step == steps
            validating = self._validation is not None and (last or self.step % self._options.validate_every == 0)
            saving = last or self.step % self._options.save_every == 0
            if saving or validating or self.step % self._options.log_every == 0:
                self._log.training(self._meter.line(self._stream.epoch, self._trainer))
            try:
                if validating:
                    first_only(self._fabric, self._validate)
            finally:  # steps are saved even if their validation fails
                if saving:
                    self._save()
            if signal and not last:
                self._stop(signal)

    def _next(self) -> tuple[Any, Exception | None]:
        """The next batch, or the exception of the stream; the step before is complete either way."""
        try:
            return next(self._batches), None
        except Exception as error:
            return None, error

    def _one_step(self, batch: Any) -> None:
        trainer, options = self._trainer, self._options
        _prepare_step(trainer, self.step, self._fabric)
        with self._fabric.autocast():
            losses = trainer.step(batch, self.step, self._update)
        self.step += 1
        if self._average is not None:
            update_average(self._average, trainer.enhancer, min(options.ema, self.step / (self.step + 10)))
        self._meter.add(self.step, losses)
        self._log.advance(losses)

    def _validate(self) -> None:
        assert self._validation is not None
        network = self._average if self._average is not None else self._trainer.enhancer
        with self._fabric.autocast():
            found = self._validation(network, self._run / "samples" / f"step_{self.step:06d}.png", self.step)
        self._log.validation({"step": self.step, "validation": found})
        self._draw()
        if is_better(found["psnr"], self._progress.best):
            self._progress.best = found["psnr"]
            write_weights(self._run / BEST, self._trainer, self.step, self._average)

    def _draw(self) -> None:
        try:
            curves.draw(read(self._run), self._run / curves.FILE)
        except ModuleNotFoundError as error:
            if not self._missing:
                self._log.say(f"no {curves.FILE}: {error}")
            self._missing = True

    def _save(self) -> None:
        if self.saved < self.step:
            self._progress.step = self.step
            save(self._progress, self._trainer, self._average, self._stream, self._fabric)
            self.saved = self.step

    def _keep(self) -> None:
        """Log and save the steps since the last line and the last checkpoint."""
        if self._meter.any:
            self._log.training(self._meter.line(self._stream.epoch, self._trainer))
        self._save()

    def _stop(self, number: int) -> None:
        self._keep()
        raise Stopped(number, self.step, saved=True)

    def _fail(self, problem: Exception | None, signal: int | None) -> None:
        """End the run because a process has no next batch; after a stop signal that counts as a stop."""
        if self._fabric.world_size > 1:  # streams of other processes are one batch ahead: not saved
            if signal:
                raise Stopped(signal, self.saved, self.saved == self.step) from problem
            raise problem or ElsewhereError("another process of the run could not go on")
        assert problem is not None
        if signal is None and _is_death(problem):
            signal = self._interruption.wait(_GRACE)
        if signal:
            self._stop(signal)
        try:
            self._keep()
        except (OSError, RunError):
            raise problem from None
        raise problem


def _is_death(error: Exception) -> bool:
    """Whether a process that decodes images has died, of our streams or of a PyTorch DataLoader."""
    return isinstance(error, StreamError) or (isinstance(error, RuntimeError) and "DataLoader worker" in str(error))


def _is_aftermath(error: RuntimeError, fabric: Fabric) -> bool:
    """Whether an error within a step may come from a stop: other processes have ended already."""
    if isinstance(error, torch.OutOfMemoryError):
        return False
    return _is_death(error) or fabric.world_size > 1


def _prepare_step(trainer: Trainer, step: int, fabric: Fabric) -> None:
    """Set learning rates and seed of a step, both functions of its number, so that no checkpoint needs them."""
    torch.manual_seed(keyed.string_id(f"{trainer.config.seed} {step} {fabric.global_rank}"))
    for name, rate in trainer.rate(step).items():
        for group in trainer.optimizers[name].param_groups:
            group["lr"] = rate


def _endless(stream: Stream[Any]) -> Iterator[Any]:
    """Batches from the current position of the stream on, epoch after epoch."""
    while True:
        yield from stream
        stream.set_epoch(stream.epoch + 1)
