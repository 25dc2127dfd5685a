"""What a run tells: lines of JSON always, a progress bar, and TensorBoard if asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from degrade.image_io import write_bytes

FILE = "log.jsonl"


class Log:
    """The log of a run, kept by the first process; in the others it is silent.

    Args:
        run: the folder.
        active: whether this process writes.
        step: how many steps the run has done: later lines, of a process that was killed, are dropped.
        steps: how many it will have done in all.
        bar: show a progress bar where the terminal can, and tell of validations.
        tensorboard: write events to RUN/tensorboard too.

    Raises:
        ModuleNotFoundError: TensorBoard is not installed.
    """

    def __init__(self, run: Path, active: bool, step: int, steps: int, bar: bool, tensorboard: bool) -> None:
        self._events = _events(run, step) if tensorboard and active else None
        self._bar = tqdm(total=steps, initial=step, unit="step", disable=None if bar and active else True)
        self._told = bar and active
        self._file = None
        if active:
            keep_until(run / FILE, step)
            self._file = open(run / FILE, "a", encoding="utf-8")  # noqa: SIM115

    def training(self, line: dict[str, Any]) -> None:
        """A line about some steps: losses, rates, time."""
        self._write(line)
        self._bar.set_postfix_str(f"{line['images_per_second']:.1f} images/s, {line['waiting']:.0%} waiting for data")
        self._scalars(line["step"], {**_named("loss", line["losses"]), **_named("rate", line["rates"])})

    def validation(self, line: dict[str, Any]) -> None:
        """A line about the images kept out."""
        self._write(line)
        values = line["validation"]
        if self._told:
            tqdm.write(
                f"step {line['step']}: PSNR {values['degraded_psnr']:.2f} -> {values['psnr']:.2f} dB, "
                f"SSIM {values['degraded_ssim']:.3f} -> {values['ssim']:.3f} on {values['images']} images kept out",
                file=sys.stderr,
            )
        self._scalars(line["step"], _named("validation", values))

    def advance(self) -> None:
        """One step more on the progress bar."""
        self._bar.update()

    def close(self) -> None:
        """Closes the files."""
        self._bar.close()
        for opened in (self._file, self._events):
            if opened is not None:
                opened.close()

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(line) + "\n")
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
    lines = []
    for text in (run / FILE).read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


def keep_until(file: Path, step: int) -> None:
    """Drops the lines of later steps from a log, and a broken last one."""
    if file.exists():
        kept = [line for line in read(file.parent) if line["step"] <= step]
        write_bytes(file, "".join(json.dumps(line) + "\n" for line in kept).encode())


def _named(group: str, values: dict[str, float]) -> dict[str, float]:
    return {f"{group}/{name}": value for name, value in values.items()}


def _events(run: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ModuleNotFoundError("TensorBoard is not installed: pip install tensorboard") from None
    return SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)
