"""Begin a run from weights that exist: of another run, or of a segmenter for MAGE-Net's structure network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from degrade.text import shown
from enhance.checkpoints import CheckpointError, read_weights
from enhance.segmenter import AGNetSegmenter, load_segmenter
from enhance.tensorfile import TensorFileError, read_tensors
from enhance.trainers import Trainer
from enhance.trainers.magenet import MAGETrainer

_STRUCTURE = "student.rsp."


def warm_start(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Copy weights into the networks of a trainer that has made no step; its configuration stays its own.

    Of a run of the same trainer all networks are taken, and as the enhancing one its running average, where it keeps
    one. A safetensors file of other programs must have the enhancing network's tensors, by their names.

    Args:
        trainer: changed in place.
        path: folder of a run, a weights file of one, or a safetensors file.

    Raises:
        CheckpointError: the file is missing, damaged, or of other networks.
    """
    name = os.fspath(path)
    if Path(path).is_file() and not _is_ours(path):
        _load(trainer.enhancer, read_tensors(path).tensors, name)
    else:
        weights = read_weights(path)
        if weights.trainer != trainer.name:
            raise CheckpointError(f"{name!r} is a run of {weights.trainer!r}, not of {trainer.name!r}")
        if isinstance(trainer, MAGETrainer):  # with a teacher or without
            side = "teacher." if any(key.startswith("teacher.") for key in weights.networks) else "student."
            own = {key.removeprefix(side): x for key, x in weights.networks.items() if key.startswith(side)}
            _load(trainer.enhancer, own, name)
        else:
            _load(trainer.networks, weights.networks, name)
        if weights.average:
            _load(trainer.enhancer, weights.average, name)
    if isinstance(trainer, MAGETrainer):
        trainer.begin_from_enhancer()


def load_structure(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Copy the weights of an AG-Net into MAGE-Net's structure network (RSP), and into its teacher's.

    Args:
        trainer: of MAGE-Net, with `rsp` "agnet" or "agnet-guided".
        path: a file of `enhance segmenter --network agnet`, or a run of magenet.

    Raises:
        CheckpointError: the file is missing, damaged, or of another network.
    """
    name = os.fspath(path)
    if not isinstance(trainer, MAGETrainer) or trainer.structure is None:
        raise CheckpointError(f"{name!r}: {trainer.name} has no structure network to load (magenet with rsp)")
    if Path(path).is_dir() or _is_ours(path):
        weights = read_weights(path)
        tensors = {key.removeprefix(_STRUCTURE): x for key, x in weights.networks.items() if key.startswith(_STRUCTURE)}
        found: Mapping[str, Tensor] = tensors
        if not tensors:
            raise CheckpointError(f"{name!r} has no structure network: it is a run of {weights.trainer!r}")
    else:
        try:
            segmenter = load_segmenter(path)
        except ValueError as error:
            raise CheckpointError(str(error)) from None
        if not isinstance(segmenter, AGNetSegmenter):
            raise CheckpointError(f"{name!r} is a U-Net: train one with 'enhance segmenter --network agnet'")
        if segmenter.structures != trainer.config.structures:
            ours, theirs = (",".join(names) for names in (trainer.config.structures, segmenter.structures))
            raise CheckpointError(f"{name!r} finds {theirs}: set structures={theirs}, not {ours}")
        found = segmenter.network.state_dict()
    _load(trainer.structure, found, name)
    trainer.follow()


def _is_ours(path: str | os.PathLike[str]) -> bool:
    """Whether a file says that `enhance train` wrote it; a damaged one is left to `read_weights`."""
    try:
        return "trainer" in read_tensors(path).about
    except TensorFileError:
        return True


def _load(module: torch.nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Copy tensors by name; CheckpointError where one is missing, left over or of another shape."""
    wanted = module.state_dict()
    problem = next((f"it lacks {key}" for key in wanted if key not in tensors), "")
    problem = problem or next((f"it has {shown(key)}" for key in tensors if key not in wanted), "")
    problem = problem or next(
        (f"{key} is {tuple(x.shape)}, not {tuple(wanted[key].shape)}" for key, x in tensors.items()
         if x.shape != wanted[key].shape), "",
    )  # fmt: skip
    if problem:
        raise CheckpointError(f"{name!r} holds the weights of another network: {problem}")
    module.load_state_dict(dict(tensors))
