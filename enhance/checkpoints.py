"""One file of weights (safetensors): read it, write it, and load the enhancement network from it.

`weights.safetensors` holds all networks of the trainer, the running average of the enhancer if there is one (names that
begin with "ema:"), and in its metadata the trainer's name, its configuration, the version, the step, and the checksums
of this file and of the state that belongs to it (`enhance.training.run_checkpoints` manages both in a run's folder).
Nothing in it is trusted: the network of its configuration is compared with the weights before memory is taken for it.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from torch import Tensor, nn

from degrade.files import write_bytes
from degrade.text import TextError, convert, parse_json, shown
from enhance.configuration import plain
from enhance.networks.base import EnhancementNetwork
from enhance.shipped import ShippedError, is_shipped, shipped_file
from enhance.tensorfile import TensorFileError, pack, read_tensors
from enhance.trainers import Trainer, trainer
from enhance.trainers.former import upgraded, without_former

WEIGHTS = "weights.safetensors"
BEST = "best.safetensors"
_FORMAT = "enhance 2"
_WITHOUT_CHECKSUM = "enhance 1"
_AVERAGE = "ema:"


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged, or of another network. The message is one line that names the file."""


class DamagedError(CheckpointError):
    """A missing or damaged file of a checkpoint; another checkpoint of the run may be intact."""


@dataclass(frozen=True)
class Weights:
    """Content of a weights file.

    Attributes:
        trainer: name of the trainer.
        config: its configuration, as from `enhance.configuration.plain`.
        step: number of steps trained.
        networks: every tensor of `Trainer.networks`, on the CPU.
        average: running average of the enhancer; empty if the run keeps none.
        state: checksum of the state that a resume needs beside it; "" if the file has none.
        checked: whether the file has a checksum, which is correct.
    """

    trainer: str
    config: dict[str, Any]
    step: int
    networks: dict[str, Tensor]
    average: dict[str, Tensor]
    state: str = ""
    checked: bool = True


class _About(msgspec.Struct):
    """Metadata of a weights file; safetensors allows only text."""

    trainer: Annotated[str, msgspec.Meta(max_length=64)]
    config: str
    step: Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,18}\Z")]
    state: Annotated[str, msgspec.Meta(pattern=r"\A([0-9a-f]{64})?\Z")] = ""


def load_enhancer(path: str | os.PathLike[str], average: bool = True) -> EnhancementNetwork:
    """Load the enhancement network of a run, in `eval` mode on the CPU.

    Nothing is unpickled and no more memory is used than the weights need, so that files from strangers are safe.

    Args:
        path: folder of a run, for its last weights, a file such as RUN/best.safetensors, or "pretrained:NAME".
        average: load the running average of the weights, if the run keeps one.

    Raises:
        CheckpointError: the file is missing, damaged, or no checkpoint of `enhance train`.
        PermissionError: it may not be read.
    """
    weights = read_weights(path)
    file = _file(path)
    _trainer(weights, file, torch.device("meta"))  # checks that the weights fit, without memory for them
    made = _trainer(weights, file, None)
    enhancer = made.enhancer
    if average and weights.average:
        _load(enhancer, weights.average, file)
    enhancer.trained_size = _side(made.config.size)
    return enhancer.requires_grad_(False).eval()


def _side(size: int | tuple[int, int] | None) -> int | None:
    """The side that images had in training; of a range its middle."""
    return round(sum(size) / 2) if isinstance(size, tuple) else size


def read_weights(path: str | os.PathLike[str]) -> Weights:
    """Read a weights file, the last one in a run's folder, or "pretrained:NAME"; errors as for `load_enhancer`."""
    file = _file(path)
    try:
        found = read_tensors(file)
    except TensorFileError as error:
        raise DamagedError(f"{os.fspath(file)!r} {error}") from None
    written = found.about.get("format")
    if written not in (_FORMAT, _WITHOUT_CHECKSUM):
        raise DamagedError(f"{os.fspath(file)!r} is no checkpoint of `enhance train`")
    if written == _FORMAT and not found.checked:
        raise DamagedError(f"{os.fspath(file)!r} is damaged: its checksum is missing")
    try:
        about = convert(found.about, _About)
        config = parse_json(about.config, dict[str, Any])
    except TextError as error:
        raise DamagedError(f"{os.fspath(file)!r} is damaged: metadata: {error}") from None
    tensors = found.tensors.items()
    average = {name.removeprefix(_AVERAGE): value for name, value in tensors if name.startswith(_AVERAGE)}
    networks = {name: value for name, value in tensors if not name.startswith(_AVERAGE)}
    return Weights(about.trainer, config, int(about.step), networks, average, about.state, found.checked)


def write_weights(path: Path, trainer: Trainer, step: int, average: nn.Module | None, state: str = "") -> None:
    """Write a weights file atomically. On an OSError the old file is still there.

    Args:
        path: file to write.
        trainer: its networks and configuration are written.
        step: number of steps done.
        average: running average of the enhancer.
        state: checksum of the state that belongs to it.
    """
    tensors = _tensors(trainer.networks)
    if average is not None:
        tensors |= {f"{_AVERAGE}{name}": value for name, value in _tensors(average).items()}
    about = {
        "format": _FORMAT,
        "trainer": trainer.name,
        "config": json.dumps(plain(trainer.config)),
        "version": metadata.version("degrade-enhance"),
        "step": str(step),
        "state": state,
    }
    write_bytes(path, pack(tensors, about))


def load_weights(trainer: Trainer, weights: Weights, average: nn.Module | None, path: str | os.PathLike[str]) -> None:
    """Copy weights into a trainer's networks and into the running average, on their devices.

    Raises:
        CheckpointError: the weights are of another trainer or another configuration.
    """
    name = os.fspath(path)
    if weights.trainer != trainer.name:
        raise CheckpointError(f"{name!r} is a run of {weights.trainer!r}, not of {trainer.name!r}")
    fields = dataclasses.fields(trainer.config)
    defaults = {field.name: field.default for field in fields if field.default is not dataclasses.MISSING}
    theirs = json.loads(json.dumps({**defaults, **upgraded(weights.trainer, weights.config)}))
    for field, value in json.loads(json.dumps(plain(trainer.config))).items():
        if field not in ("steps", "epochs") and theirs.get(field) != value:
            raise CheckpointError(
                f"{name!r} was begun with {field} = {shown(theirs.get(field))}: it cannot go on with {shown(value)}"
            )
    _load(trainer.networks, weights.networks, path)
    if average is not None:
        _load(average, weights.average or _tensors(trainer.enhancer), path)


def _trainer(weights: Weights, file: Path, device: torch.device | None) -> Trainer:
    """Make the trainer of a weights file and load its weights; on the device "meta" only compare shapes and types."""
    name = os.fspath(file)
    if str(weights.config.get("recipe", "")).endswith(".toml"):
        raise CheckpointError(f"{name!r}: its configuration cannot be used: recipe is the name of a file")
    try:
        with device or torch.device("cpu"):
            made = trainer(weights.trainer, **without_former(upgraded(weights.trainer, weights.config)))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{name!r}: its configuration cannot be used: {reason}") from None
    if device is None:
        _load(made.networks, weights.networks, file)
    else:
        _compare(made.networks.state_dict(), weights.networks, name)
        if weights.average:
            _compare(made.enhancer.state_dict(), weights.average, name)
    return made


def _load(module: nn.Module, tensors: dict[str, Tensor], path: str | os.PathLike[str]) -> None:
    _compare(module.state_dict(), tensors, os.fspath(path))
    module.load_state_dict(tensors)


def _compare(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor], name: str) -> None:
    """Raise CheckpointError where tensors are missing, unexpected, or of another shape or type."""
    problem = next((f"it lacks {key}" for key in wanted if key not in tensors), "")
    problem = problem or next((f"it has {shown(key)}" for key in tensors if key not in wanted), "")
    for key, tensor in tensors.items() if not problem else ():
        other = wanted[key]
        if tensor.shape != other.shape:
            problem = f"{key} is {tuple(tensor.shape)}, not {tuple(other.shape)}"
        elif tensor.dtype != other.dtype and not (tensor.is_floating_point() and other.is_floating_point()):
            problem = f"{key} is {tensor.dtype}, not {other.dtype}"
    if problem:
        raise CheckpointError(f"{name!r} holds the weights of another network: {problem}")


def _file(path: str | os.PathLike[str]) -> Path:
    if is_shipped(path):
        try:
            return shipped_file(path)
        except ShippedError as error:
            raise CheckpointError(str(error)) from None
    file = Path(path)
    return file / WEIGHTS if file.is_dir() else file


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Copies of all weights and buffers on the CPU: safetensors refuses tensors that share memory."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in module.state_dict().items()}
