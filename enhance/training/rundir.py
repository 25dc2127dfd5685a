"""The folder of a run: names of its files, checks of folder and sources before anything is written, preparation."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from degrade.files import LOCK, UNFINISHED, write_bytes
from enhance.checkpoints import BEST, WEIGHTS
from enhance.probing import first_usable
from enhance.trainers.base import Sources, Trainer
from enhance.training.curves import FILE as CURVES
from enhance.training.log import FILE
from enhance.training.loggers import FOLDERS
from enhance.training.processes import RunError

RECORD = "run.toml"
HELD_OUT = "held_out.json"
TRAINED_ON = "trained_on.json"
TEST = "test.json"
FAILED = "failed.jsonl"
_OURS = (
    *(WEIGHTS, BEST, FILE, RECORD, HELD_OUT, TRAINED_ON, TEST, FAILED, CURVES),
    *("state_*.pt", "weights_*.safetensors", "samples/step_*.png"),
)


def is_used(run: Path) -> bool:
    """Whether a folder holds anything but a lock and unfinished files of a killed process."""
    return run.exists() and any(name != LOCK and not UNFINISHED.fullmatch(name) for name in os.listdir(run))


def check_folder(run: Path, resume: bool, overwrite: bool) -> None:
    """Raise RunError where a run in this folder would overwrite or mix files. Nothing is written."""
    if run.exists() and not run.is_dir():
        raise RunError(f"{os.fspath(run)!r} is no folder")
    if resume and overwrite:
        raise RunError("resume goes on and overwrite deletes: give one of them")
    if resume and not run.exists():  # an empty one was left by a run that was killed before its first checkpoint
        raise RunError(f"{os.fspath(run)!r} does not exist: there is no run to resume")
    if is_used(run) and not resume and not overwrite:
        raise RunError(f"{os.fspath(run)!r} is not empty: resume the run in it, or overwrite it")


def prepare(run: Path, overwrite: bool, files: Mapping[str, str]) -> None:
    """Prepare the locked and checked folder of a run: delete an old run if asked to, write the given files."""
    if overwrite:
        for pattern in _OURS:
            for file in run.glob(pattern):
                file.unlink()
        for name in FOLDERS:
            shutil.rmtree(run / name, ignore_errors=True)
    for file in run.iterdir():  # unfinished files of a killed process
        if UNFINISHED.fullmatch(file.name):
            file.unlink()
    for name, text in files.items():
        write_bytes(run / name, text.encode())


def write_failed(run: Path, failed: Mapping[str, str]) -> None:
    """Write failed.jsonl with a line for each image that could not be used; nothing if there is none."""
    lines = (json.dumps({"source": id_, "error": reason}) for id_, reason in failed.items())
    if failed:
        write_bytes(run / FAILED, "".join(f"{line}\n" for line in lines).encode())


def check_sources(trainer: Trainer, sources: Sources) -> None:
    """Raise RunError where a trainer cannot use these sources: missing images, wrong channels, missing maps."""
    if trainer.needs_low == "must" and sources.low is None and sources.low_recipe is None:
        raise RunError(f"{trainer.name} needs real bad images too (unpaired, low), or a recipe for them (low_recipe)")
    if trainer.needs_low != "must" and sources.low_recipe is not None:
        raise RunError(f"{trainer.name} trains on pairs that its own recipe makes; it has no use for low_recipe")
    if trainer.needs_low == "no" and sources.low is not None:
        raise RunError(f"{trainer.name} trains on good images alone; it has no use for {sources.low.title}")
    if sources.pairs and trainer.needs_low == "must":
        raise RunError(f"{trainer.name} trains on unpaired images; it has no use for pairs")
    for source in (sources.high, sources.low):
        sample = first_usable(source) if source is not None else None
        if source is None or sample is None:
            continue
        channels, wanted = sample["image"].shape[0], trainer.config.channels
        if channels != wanted:
            kind = {1: "grey images", 3: "color images"}[channels]
            raise RunError(f"{source.title} has {kind}; channels = {wanted}: set channels={channels}")
        missing = [name for name in trainer.maps if name not in sample] if source is sources.high else []
        if missing:
            raise RunError(f"{trainer.name} needs the map {missing[0]!r} of each image of {source.title}")
