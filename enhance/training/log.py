"""Log of a run: log.jsonl, a progress bar, and TensorBoard events as an option."""

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
    """Fields that every line of a log has."""

    step: int


class Log:
    """Log of a run. Only the first process writes it.

    Args:
        run: the folder.
        active: whether this process writes.
        step: number of steps done: lines of later steps, from a killed process, are dropped.
        steps: number of steps of the whole run.
        bar: show a progress bar where the terminal can, and print validations.
        tensorboard: write events to RUN/tensorboard too.
    """

    def __init__(self, run: Path, active: bool, step: int, steps: int, bar: bool, tensorboard: bool) -> None:
        self._events = _events(run, step) if tensorboard and active else None
        self._visible = bar and active and sys.stderr is not None
        self._bar = tqdm(total=steps, initial=step, unit="step", disable=None if self._visible else True)
        self._file = None
        if active:
            keep_until(run / FILE, step)
            self._file = open(run / FILE, "a", encoding="utf-8")  # noqa: SIM115

    def training(self, line: dict[str, Any]) -> None:
        """Write a line about the steps since the last one: losses, learning rates, time."""
        self._write(line)
        rate = f"{line['images_per_second']:.1f} images/s, {line['waiting']:.0%} waiting for data"
        self._show(lambda: self._bar.set_postfix_str(rate))
        self._scalars(line["step"], {**_named("loss", line["losses"]), **_named("rate", line["rates"])})

    def validation(self, line: dict[str, Any]) -> None:
        """Write a line about a validation, and print it."""
        self._write(line)
        values = line["validation"]
        self.say(
            f"step {line['step']}: PSNR {values['degraded_psnr']:.2f} -> {values['psnr']:.2f} dB, "
            f"SSIM {values['degraded_ssim']:.3f} -> {values['ssim']:.3f} on {values['images']} images kept out"
        )
        self._scalars(line["step"], _named("validation", values))

    def say(self, text: str) -> None:
        """Print to stderr, above the progress bar."""
        self._show(lambda: tqdm.write(text, file=sys.stderr))

    def advance(self) -> None:
        """Move the progress bar by one step."""
        self._show(self._bar.update)

    def close(self) -> None:
        """Close the files."""
        self._show(self._bar.close)
        for opened in (self._file, self._events):
            if opened is not None:
                opened.close()

    def _show(self, shown: Any) -> None:
        """Write to the terminal; if it has been closed, stop writing instead of failing the run."""
        if not self._visible:
            return
        try:
            shown()
        except (OSError, ValueError):
            self._visible = False
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
    """Read the lines of a run's log, without one that a killed process left unfinished.

    Lines with "losses" are about training: means over the steps since the line before, learning rates of the last step,
    "seconds" of all of them, "images_per_second" of all processes, and "waiting", the share of the time spent waiting
    for batches. Lines with "validation" are about the held-out images.
    """
    return [line for line, _ in _lines(run / FILE)]


def keep_until(file: Path, step: int) -> None:
    """Drop lines of later steps and damaged lines from a log. A log without any is not rewritten."""
    if file.exists():
        kept = b"".join(raw for line, raw in _lines(file) if line["step"] <= step)
        if kept != file.read_bytes():
            write_bytes(file, kept)


def check_tensorboard() -> None:
    """Raise ModuleNotFoundError where TensorBoard is not installed."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        raise ModuleNotFoundError("TensorBoard is not installed: pip install tensorboard") from None


def _lines(file: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Valid lines of a log, and their bytes."""
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
    """Replace NaN and infinities, which JSON does not have, by None."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
