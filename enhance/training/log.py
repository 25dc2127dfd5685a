"""What a run tells: lines of JSON always, a progress bar, and TensorBoard if asked for."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from tqdm import tqdm

from degrade.files import write_bytes
from degrade.text import LARGEST_LINE, TextError, convert, parse_json

FILE = "log.jsonl"
_NO_NUMBER = re.compile(rb"-?\b(?:NaN|Infinity)\b")  # in logs of older versions


class _Line(msgspec.Struct):
    """What every line of a log has."""

    step: int


class Log:
    """The log of a run, kept by the first process; in the others it is silent.

    Args:
        run: the folder.
        active: whether this process writes.
        step: how many steps the run has done: later lines, of a process that was killed, are dropped.
        steps: how many it will have done in all.
        bar: show a progress bar where the terminal can, and tell of validations.
        tensorboard: write events to RUN/tensorboard too.

    """

    def __init__(self, run: Path, active: bool, step: int, steps: int, bar: bool, tensorboard: bool) -> None:
        self._events = _events(run, step) if tensorboard and active else None
        self._told = bar and active and sys.stderr is not None
        self._bar = tqdm(total=steps, initial=step, unit="step", disable=None if self._told else True)
        self._file = None
        if active:
            keep_until(run / FILE, step)
            self._file = open(run / FILE, "a", encoding="utf-8")  # noqa: SIM115

    def training(self, line: dict[str, Any]) -> None:
        """A line about some steps: losses, rates, time."""
        self._write(line)
        rate = f"{line['images_per_second']:.1f} images/s, {line['waiting']:.0%} waiting for data"
        self._show(lambda: self._bar.set_postfix_str(rate))
        self._scalars(line["step"], {**_named("loss", line["losses"]), **_named("rate", line["rates"])})

    def validation(self, line: dict[str, Any]) -> None:
        """A line about the images kept out."""
        self._write(line)
        values = line["validation"]
        self.say(
            f"step {line['step']}: PSNR {values['degraded_psnr']:.2f} -> {values['psnr']:.2f} dB, "
            f"SSIM {values['degraded_ssim']:.3f} -> {values['ssim']:.3f} on {values['images']} images kept out"
        )
        self._scalars(line["step"], _named("validation", values))

    def say(self, text: str) -> None:
        """Tell something on stderr, above the progress bar."""
        self._show(lambda: tqdm.write(text, file=sys.stderr))

    def advance(self) -> None:
        """One step more on the progress bar."""
        self._show(self._bar.update)

    def close(self) -> None:
        """Close the files."""
        self._show(self._bar.close)
        for opened in (self._file, self._events):
            if opened is not None:
                opened.close()

    def _show(self, shown: Any) -> None:
        """Write to the terminal, which may be gone: that is no reason to lose a run."""
        if not self._told:
            return
        try:
            shown()
        except (OSError, ValueError):
            self._told = False
            self._bar.disable = True

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(_finite(line)) + "\n")
            self._file.flush()

    def _scalars(self, step: int, values: dict[str, float]) -> None:
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(name, value, step)


def read(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's log; one that was being written when the process was killed is left out.

    Lines with "losses" are about training: the means over the steps since the line before, the learning rates of the
    last one, "seconds" for all of them, "images_per_second" of all processes, and "waiting", the share of the time that
    went into the next batch. Lines with "validation" are about the images kept out.
    """
    return [line for line, _ in _lines(run / FILE)]


def keep_until(file: Path, step: int) -> None:
    """Drop the lines of later steps from a log, and what is no line of one. A log without such lines is not touched."""
    if file.exists():
        kept = b"".join(raw for line, raw in _lines(file) if line["step"] <= step)
        if kept != file.read_bytes():
            write_bytes(file, kept)


def check_tensorboard() -> None:
    """ModuleNotFoundError where TensorBoard is not installed."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        raise ModuleNotFoundError("TensorBoard is not installed: pip install tensorboard") from None


def _lines(file: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    """The whole lines of a log, and their bytes."""
    with open(file, "rb") as opened:
        while raw := opened.readline(LARGEST_LINE):
            try:
                line = parse_json(_NO_NUMBER.sub(b"null", raw), dict[str, Any]) if raw.endswith(b"\n") else {}
                convert(line, _Line)
            except TextError:
                continue
            yield line, raw


def _named(group: str, values: dict[str, float]) -> dict[str, float]:
    return {f"{group}/{name}": value for name, value in values.items()}


def _events(run: Path, step: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)


def _finite(value: Any) -> Any:
    """None, which JSON has a word for, in place of numbers that it has none for."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
