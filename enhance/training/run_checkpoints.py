"""The checkpoints in a run's folder: save the newest, keep the last few, find the newest undamaged one to resume.

    weights.safetensors          the newest weights
    weights_000500.safetensors   those of a checkpoint before
    state_001000.pt, ...         for each what only a resume needs: optimizers, stream, the trainer's own state

The metadata of the weights hold the step, the checksum of the state that belongs to them, and a checksum of their own.
A process may be killed at any moment, so files are written in this order: the state; a second name, with their step,
for the weights that are there; the new weights, renamed to weights.safetensors, which makes this checkpoint the newest;
then older files are deleted. (`enhance.checkpoints` reads and writes one file of weights.)
"""

from __future__ import annotations

import io
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from degrade.files import write_bytes
from enhance.checkpoints import (
    BEST,
    WEIGHTS,
    CheckpointError,
    DamagedError,
    Weights,
    load_weights,
    read_weights,
    write_weights,
)
from enhance.tensorfile import digest
from enhance.trainers import Trainer
from enhance.training.log import FILE as LOG

OLDER = re.compile(r"weights_(\d{6,})\.safetensors")
STATE = re.compile(r"state_(\d{6,})\.pt")
_LOGGER = logging.getLogger("enhance.training")


class Found(NamedTuple):
    """An undamaged checkpoint: the file of its weights, and its step."""

    file: Path
    step: int


class Checkpoints:
    """Checkpoints of one run. Only one process writes; every process may read.

    Attributes:
        run: the folder.

    Args:
        run: the folder.
        keep: most checkpoints that are kept.
    """

    def __init__(self, run: Path, keep: int = 2) -> None:
        self.run, self._keep = run, keep
        self._steps: list[int] = []  # newest first; the newest is in WEIGHTS

    def newest(self) -> Found | None:
        """The newest undamaged checkpoint; None if there is none yet. Damaged ones are logged as warnings.

        Raises:
            CheckpointError: the run has made steps, but every checkpoint is damaged. Nothing is changed.
            PermissionError: a file may not be read.
        """
        run, problems = self.run, list[str]()
        for file in candidates(run):
            try:
                weights = read_weights(file)
                read_state(run, weights)
            except DamagedError as error:
                problems.append(str(error))
                continue
            for problem in problems:
                _LOGGER.warning("%s", problem)
            if problems:
                _LOGGER.warning("going on from the checkpoint of step %d, %r", weights.step, os.fspath(file))
            if not weights.checked:
                _LOGGER.warning("%r was written without a checksum: damage to it would go unnoticed", os.fspath(file))
            return Found(file, weights.step)
        if not problems and not has_begun(run):
            return None
        problems = problems or [f"{os.fspath(run / WEIGHTS)!r} does not exist"]
        raise CheckpointError(
            f"{os.fspath(run)!r} has no checkpoint that is whole: {'; '.join(problems)}. Nothing was changed or deleted"
        )

    def load(self, found: Found, trainer: Trainer, average: nn.Module | None) -> dict[str, Any]:
        """Restore networks, optimizers and average from a checkpoint; return the rest of its state.

        Raises:
            CheckpointError: it is damaged, or of a run with another configuration.
        """
        weights = read_weights(found.file)
        load_weights(trainer, weights, average, self.run)
        state = read_state(self.run, weights)
        try:
            for name, optimizer in trainer.optimizers.items():
                optimizer.load_state_dict(state["optimisers"][name])
        except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise CheckpointError(
                f"{os.fspath(state_file(self.run, weights.step))!r} does not fit the optimizers: {reason}"
            ) from None
        older = steps_of(self.run, OLDER) & steps_of(self.run, STATE)
        self._steps = [found.step, *sorted((step for step in older if step < found.step), reverse=True)]
        return state

    def establish(self, found: Found) -> None:
        """Make a checkpoint the newest, in place of damaged weights."""
        if found.file.name != WEIGHTS:
            os.replace(found.file, self.run / WEIGHTS)

    def save(self, trainer: Trainer, step: int, average: nn.Module | None, state: Mapping[str, Any]) -> None:
        """Write weights and state after a step, in the order described at the top of this module.

        Args:
            trainer: its networks and optimizers are saved.
            step: number of steps done.
            average: running average of the enhancer.
            state: what else a resume needs: tensors, numbers and strings, in lists and dicts.

        Raises:
            OSError: a file cannot be written; the earlier checkpoints are intact.
        """
        run = self.run
        optimizers = {name: optimizer.state_dict() for name, optimizer in trainer.optimizers.items()}
        buffer = io.BytesIO()
        torch.save({"step": step, "optimisers": optimizers, **state}, buffer)
        data = buffer.getvalue()
        before = [other for other in self._steps if other != step][: self._keep - 1]
        try:
            write_bytes(state_file(run, step), data)
            if before and (run / WEIGHTS).exists():
                _name_too(run / WEIGHTS, older_weights(run, before[0]))
            write_weights(run / WEIGHTS, trainer, step, average, digest(data))
        except OSError:
            if step not in self._steps:
                state_file(run, step).unlink(missing_ok=True)  # it may have filled the disk
            raise
        self._steps = [step, *before]
        for old in steps_of(run, STATE) - set(self._steps):
            state_file(run, old).unlink(missing_ok=True)
        for old in steps_of(run, OLDER) - set(before):
            older_weights(run, old).unlink(missing_ok=True)


def candidates(run: Path) -> list[Path]:
    """Weights files of a run, newest first: damaged ones too, and the newest even if only it is missing."""
    older = [older_weights(run, step) for step in sorted(steps_of(run, OLDER), reverse=True)]
    return [run / WEIGHTS, *older] if older or (run / WEIGHTS).exists() else []


def has_begun(run: Path) -> bool:
    """Whether a run has made steps, judged by the files beside its weights."""
    return (run / LOG).exists() or (run / BEST).exists() or any(steps_of(run, STATE)) or any(run.glob("samples/*"))


def read_state(run: Path, weights: Weights) -> dict[str, Any]:
    """The state that belongs to weights; raises DamagedError where it is missing or damaged."""
    file = state_file(run, weights.step)
    try:
        data = file.read_bytes()
        if weights.state and digest(data) != weights.state:
            raise DamagedError(f"{os.fspath(file)!r} is damaged: its checksum does not fit")
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DamagedError(f"{os.fspath(file)!r}, which a resume needs, does not exist") from None
    except (PermissionError, DamagedError):
        raise
    except Exception as error:  # damaged files raise a dozen kinds, pickle's and zip's among them
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DamagedError(f"{os.fspath(file)!r} is damaged: {reason}") from None
    wanted = {"step": int, "optimisers": dict, "stream": dict, "trainer": list}
    for name, kind in wanted.items():
        if not isinstance(state, dict) or not isinstance(state.get(name), kind):
            raise DamagedError(f"{os.fspath(file)!r} is damaged: it has no {name!r}")
    if state["step"] != weights.step or not state["trainer"] or "best" not in state:
        raise DamagedError(f"{os.fspath(file)!r} is damaged: it is not the state after step {weights.step}")
    return state  # type: ignore[no-any-return]


def state_file(run: Path, step: int) -> Path:
    """File of the state after a step."""
    return run / f"state_{step:06d}.pt"


def older_weights(run: Path, step: int) -> Path:
    """File of the weights after a step that is no longer the newest."""
    return run / f"weights_{step:06d}.safetensors"


def steps_of(run: Path, pattern: re.Pattern[str]) -> set[int]:
    """Steps in the names of a run's files that match `OLDER` or `STATE`."""
    names = os.listdir(run) if run.is_dir() else []
    return {int(match[1]) for name in names if (match := pattern.fullmatch(name))}


def _name_too(file: Path, second: Path) -> None:
    """Give a file a second name by a hard link, or copy it where the file system has none."""
    second.unlink(missing_ok=True)
    try:
        os.link(file, second)
    except OSError:
        write_bytes(second, file.read_bytes())
