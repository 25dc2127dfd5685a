"""Checkpoints: the weights of a run in one safetensors file, and beside it what only a resume needs.

`weights.safetensors` holds all networks of the trainer, the running average of the enhancer where there is one (names
that begin with "ema:"), and in its metadata the trainer's name, its configuration, the version and the step.
`state_000500.pt` holds optimisers, stream and the trainer's own state after step 500, and is read with `weights_only`.

A process may be killed at any moment. The state is written first, under the name of its step; then the weights replace
the old ones by a rename, which is the switch; then the old state is deleted. So the step in the metadata always names a
state that is there.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from degrade.image_io import write_bytes
from enhance.configuration import plain
from enhance.networks.base import EnhancementNetwork
from enhance.trainers import Trainer, trainer

WEIGHTS = "weights.safetensors"
BEST = "best.safetensors"
_FORMAT = "enhance 1"
_AVERAGE = "ema:"


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged, or of something else."""


@dataclass(frozen=True)
class Weights:
    """What a weights file holds.

    Attributes:
        trainer: its name.
        config: its configuration, as `enhance.configuration.plain` gives it.
        step: how many steps it was trained for.
        networks: every tensor of `Trainer.networks`, on the CPU.
        average: of the enhancer, empty where the run keeps none.
    """

    trainer: str
    config: dict[str, Any]
    step: int
    networks: dict[str, Tensor]
    average: dict[str, Tensor]


def load_enhancer(path: str | os.PathLike[str], average: bool = True) -> EnhancementNetwork:
    """The network that a run has trained, in `eval` mode on the CPU.

    Nothing is unpickled: the file can be anybody's.

    Args:
        path: the folder of a run, which stands for its last weights, or a file such as RUN/best.safetensors.
        average: take the running average of the weights, if the run keeps one.

    Raises:
        CheckpointError: there is none, it is damaged, or it is no checkpoint of ours.
    """
    weights = read_weights(path)
    try:
        made = trainer(weights.trainer, **weights.config)
    except ValueError as error:
        raise CheckpointError(f"{os.fspath(path)!r}: its configuration cannot be used: {error}") from None
    load_networks(made, weights, path)
    enhancer = made.enhancer
    if average and weights.average:
        _load(enhancer, weights.average, path)
    return enhancer.requires_grad_(False).eval()


def read_weights(path: str | os.PathLike[str]) -> Weights:
    """A weights file, or that of a run's folder; errors as for `load_enhancer`."""
    from safetensors import SafetensorError, safe_open

    file = Path(path)
    if file.is_dir():
        file /= WEIGHTS
    if not file.is_file():
        raise CheckpointError(f"{os.fspath(file)!r} does not exist")
    try:
        with safe_open(file, "pt") as opened:
            about = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{os.fspath(file)!r} is damaged, or no safetensors file: {error}") from None
    if about.get("format") != _FORMAT:
        raise CheckpointError(f"{os.fspath(file)!r} is no checkpoint of `enhance train`")
    average = {name.removeprefix(_AVERAGE): value for name, value in tensors.items() if name.startswith(_AVERAGE)}
    networks = {name: value for name, value in tensors.items() if not name.startswith(_AVERAGE)}
    return Weights(about["trainer"], json.loads(about["config"]), int(about["step"]), networks, average)


def write_weights(path: Path, trainer: Trainer, step: int, average: nn.Module | None) -> None:
    """Writes a weights file, whole or not at all; OSError where that fails, and the old one is still there then."""
    from safetensors.torch import save

    tensors = _tensors(trainer.networks)
    if average is not None:
        tensors |= {f"{_AVERAGE}{name}": value for name, value in _tensors(average).items()}
    about = {
        "format": _FORMAT,
        "trainer": trainer.name,
        "config": json.dumps(plain(trainer.config)),
        "version": metadata.version("degrade-enhance"),
        "step": str(step),
    }
    write_bytes(path, save(tensors, about))


def save_checkpoint(
    run: Path, trainer: Trainer, step: int, average: nn.Module | None, state: Mapping[str, Any]
) -> None:
    """Weights and state after a step, in the order that makes them one: see the module.

    Args:
        run: the folder.
        trainer: its networks and optimisers are saved.
        step: how many steps have been done.
        average: running average of the enhancer.
        state: what else a resume needs: tensors, numbers, strings, in lists and dicts.
    """
    optimisers = {name: optimiser.state_dict() for name, optimiser in trainer.optimisers.items()}
    buffer = io.BytesIO()
    torch.save({"step": step, "optimisers": optimisers, **state}, buffer)
    new = _state_file(run, step)
    write_bytes(new, buffer.getvalue())
    write_weights(run / WEIGHTS, trainer, step, average)
    for old in run.glob("state_*.pt"):
        if old != new:
            old.unlink()


def load_checkpoint(run: Path, trainer: Trainer, average: nn.Module | None) -> dict[str, Any]:
    """Restores networks, optimisers and average of a run's last checkpoint; what else was saved is returned.

    Raises:
        CheckpointError: there is none, it is damaged, or of a run with another configuration.
    """
    weights = read_weights(run)
    if weights.trainer != trainer.name:
        raise CheckpointError(f"{os.fspath(run)!r} is a run of {weights.trainer!r}, not of {trainer.name!r}")
    ours = json.loads(json.dumps(plain(trainer.config)))
    for name, value in ours.items():
        if name != "steps" and weights.config.get(name) != value:
            raise CheckpointError(
                f"{os.fspath(run)!r} was begun with {name} = {weights.config.get(name)!r}: "
                f"it cannot go on with {value!r}"
            )
    load_networks(trainer, weights, run)
    if average is not None:
        _load(average, weights.average or _tensors(trainer.enhancer), run)
    state = _read_state(_state_file(run, weights.step))
    for name, optimiser in trainer.optimisers.items():
        optimiser.load_state_dict(state["optimisers"][name])
    return state


def load_networks(trainer: Trainer, weights: Weights, path: str | os.PathLike[str]) -> None:
    """Copies the weights into the trainer's networks, each to where it is needed."""
    _load(trainer.networks, weights.networks, path)


def _load(module: nn.Module, tensors: dict[str, Tensor], path: str | os.PathLike[str]) -> None:
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{os.fspath(path)!r} holds the weights of another network: {reason}") from None


def _read_state(file: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{os.fspath(file)!r}, which a resume needs, does not exist") from None
    except Exception as error:  # damaged files raise a dozen kinds, pickle's and zip's among them
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{os.fspath(file)!r} is damaged: {reason}") from None
    return state


def _state_file(run: Path, step: int) -> Path:
    return run / f"state_{step:06d}.pt"


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Every weight and buffer, on the CPU, none sharing memory with another, as the format wants it."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in module.state_dict().items()}
