"""Log of a run: log.jsonl, a progress bar or a line a minute, and another logger as an option."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from torch import Tensor
from tqdm import tqdm

from degrade.files import write_bytes
from degrade.text import LARGEST_LINE, TextError, convert, parse_json
from enhance.training.outlook import end

if TYPE_CHECKING:
    from lightning_fabric.loggers.logger import Logger

FILE = "log.jsonl"
IN_BAR, IN_LINES = 2.0, 60.0
"""Seconds after which the loss is shown anew, in a bar and in lines: reading it waits for a GPU."""
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
        bar: show a progress bar where the terminal can, else print a line a minute, and print validations.
        logger: of Lightning Fabric, which gets the numbers too.
    """

    def __init__(self, run: Path, active: bool, step: int, steps: int, bar: bool, logger: Logger | None = None) -> None:
        self._logger = logger
        self._visible = bar and active and sys.stderr is not None
        self._bar = tqdm(total=steps, initial=step, unit="step", disable=None if self._visible else True)
        self._step, self._steps = step, steps
        self._shown, self._shown_step = time.monotonic(), step
        self._rate = ""
        self._file = None
        if active:
            keep_until(run / FILE, step)
            self._file = open(run / FILE, "a", encoding="utf-8")  # noqa: SIM115

    def training(self, line: dict[str, Any]) -> None:
        """Write a line about the steps since the last one: losses, learning rates, time."""
        self._write(line)
        self._rate = f", {line['images_per_second']:.1f} images/s, {line['waiting']:.0%} waiting for data"
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

    def advance(self, losses: Mapping[str, Tensor]) -> None:
        """Count a step: the bar moves, and its losses are shown now and then, in a line where there is no bar."""
        self._step += 1
        self._show(self._bar.update)
        now, in_lines = time.monotonic(), self._bar.disable
        if not self._visible or now - self._shown < (IN_LINES if in_lines else IN_BAR):
            return
        text = f"{_main(losses)}{self._rate}"
        if in_lines:
            left = (now - self._shown) / (self._step - self._shown_step) * (self._steps - self._step)
            self.say(f"step {self._step:,} of {self._steps:,}: {text}; ends {end(left)}")
        else:
            self._show(lambda: self._bar.set_postfix_str(text))
        self._shown, self._shown_step = now, self._step

    def close(self) -> None:
        """Close the files."""
        self._show(self._bar.close)
        if self._file is not None:
            self._file.close()
        if self._logger is not None:
            self._logger.finalize("finished")

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
        if self._logger is not None:
            self._logger.log_metrics(values, step)


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


def _main(losses: Mapping[str, Tensor]) -> str:
    """What the enhancing network minimizes, `total` or `generator` or else the first loss, as "loss 0.123"."""
    name = next((name for name in ("total", "generator") if name in losses), next(iter(losses), None))
    return "no loss" if name is None else f"loss {float(losses[name]):.4g}"


def _named(group: str, values: dict[str, float]) -> dict[str, float]:
    return {f"{group}/{name}": value for name, value in values.items()}


def _finite(value: Any) -> Any:
    """Replace NaN and infinities, which JSON does not have, by None."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
