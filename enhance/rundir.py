"""The folder of a run, and whether sources are what a trainer needs: what is found out before any work is done."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from degrade.image_io import write_bytes
from degrade.stream import Source
from degrade.stream.source import Sample
from enhance.checkpoints import BEST, WEIGHTS
from enhance.log import FILE
from enhance.processes import RunError
from enhance.trainers.base import Sources, Trainer

RECORD = "run.toml"
HELD_OUT = "held_out.json"
_OURS = (WEIGHTS, BEST, FILE, RECORD, HELD_OUT, "state_*.pt", "samples/step_*.png")
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp")
_TRIED = 5


def prepare(run: Path, resume: bool, overwrite: bool, files: Mapping[str, str]) -> None:
    """Makes the folder of a run ready; RunError where that would destroy or mix something."""
    if run.exists() and not run.is_dir():
        raise RunError(f"{os.fspath(run)!r} is no folder")
    used = run.exists() and any(run.iterdir())
    if resume and overwrite:
        raise RunError("resume goes on and overwrite deletes: give one of them")
    if resume and not run.exists():  # an empty one is that of a run which was killed before its first checkpoint
        raise RunError(f"{os.fspath(run)!r} does not exist: there is no run to resume")
    if used and not resume:
        if not overwrite:
            raise RunError(f"{os.fspath(run)!r} is not empty: resume the run in it, or overwrite it")
        for pattern in _OURS:
            for file in run.glob(pattern):
                file.unlink()
        shutil.rmtree(run / "tensorboard", ignore_errors=True)
    run.mkdir(parents=True, exist_ok=True)
    for file in run.iterdir():  # what a process that was killed was writing
        if _TEMPORARY.fullmatch(file.name):
            file.unlink()
    for name, text in files.items():
        write_bytes(run / name, text.encode())


def check_sources(trainer: Trainer, sources: Sources) -> None:
    """RunError where a trainer cannot train on these sources: images missing, of another colour, without maps."""
    if trainer.needs_low == "must" and sources.low is None:
        raise RunError(f"{trainer.name} needs real bad images too (unpaired, low)")
    if trainer.needs_low == "no" and sources.low is not None:
        raise RunError(f"{trainer.name} trains on good images alone; it has no use for {sources.low.title}")
    for source in (sources.high, sources.low):
        sample = _first(source) if source is not None else None
        if source is None or sample is None:
            continue
        channels, wanted = sample["image"].shape[0], trainer.config.channels
        if channels != wanted:
            kind = {1: "grey images", 3: "colour images"}[channels]
            raise RunError(f"{source.title} has {kind}; channels = {wanted}: set channels={channels}")
        missing = [name for name in trainer.maps if name not in sample] if source is sources.high else []
        if missing:
            raise RunError(f"{trainer.name} needs the map {missing[0]!r} of each image of {source.title}")


def _first(source: Source) -> Sample | None:
    """The first image that can be read, if one of the first few can; the stream says what is wrong with others."""
    for index in range(min(_TRIED, len(source))):
        try:
            return source.load(index)
        except Exception:  # any exception means that this one cannot be used
            continue
    return None
