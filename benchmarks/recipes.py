"""Every recipe as it draws, and what `degrade synth` spends its time on."""

from __future__ import annotations

import re
import tempfile
from functools import partial
from pathlib import Path

from click.testing import CliRunner

import degrade
from benchmarks.samples import fundus
from benchmarks.timing import Row, measure


def recipes(size: int = 512, batch: int = 8, rounds: int = 5) -> list[Row]:
    """Milliseconds an image without gradients, and with: forward and backward."""
    image, mask, keys = fundus(batch, size)
    leaf = image.clone().requires_grad_()

    def backward(d: degrade.Degradation) -> None:
        d(leaf, keys, mask).sum().backward()

    rows = []
    for name in degrade.RECIPES:
        d = degrade.recipe(name)
        calls = {"forward": partial(d, image, keys, mask), "backward": partial(backward, d)}
        ms = {call: spread * (1e3 / batch) for call, spread in measure(calls, rounds).items()}
        rows.append({"recipe": name, "ms": ms["forward"], "ms, with gradients": ms["backward"]})
    return rows


def synth(count: int = 24, size: int = 512, views: int = 4) -> list[Row]:
    """`degrade synth` from files to files: the shares of decoding, degrading and encoding."""
    from cli.degrade import main

    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "clean"), Path(folder, "out")
        phantoms = CliRunner().invoke(main, ["synth", f"phantom:fundus?count={count}&size={size}", str(source)])
        result = CliRunner().invoke(main, ["synth", str(source / "clean"), str(out), "--views", str(views)])
        if phantoms.exit_code or result.exit_code:
            raise RuntimeError(result.output or phantoms.output)
        shares = dict(re.findall(r"(decod\w+|degrad\w+|encod\w+)[^\d%]*([\d.]+) ?%", result.output))
    return [{"pairs": count * views, "size": size, **{f"{name}, %": float(value) for name, value in shares.items()}}]
