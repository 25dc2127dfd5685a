"""The fundus degradations: ours against the usual per-image script, and what `degrade synth` spends its time on."""

from __future__ import annotations

import re
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from click.testing import CliRunner

import degrade
from benchmarks.per_image import degrade_image
from benchmarks.timing import medians, peak_extra_bytes

Row = dict[str, Any]


def chain(sizes: tuple[int, ...] = (256, 512, 1024), batch: int = 16) -> list[Row]:
    """Type 111 of recipe cofe-net, float32, per image: ours, the per-image script, and one copy of the batch."""
    return [_chain(size, batch) for size in sizes]


def _chain(size: int, batch: int) -> Row:
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, batch), size)
    keys = degrade.make_keys(1, batch)
    d = degrade.recipe("cofe-net", type="111")
    some = [np.ascontiguousarray(x.permute(1, 2, 0).mul(255).round().byte().numpy()) for x in image[:4]]
    field = mask[0, 0].numpy()
    rng = np.random.default_rng(0)
    target = torch.empty_like(image)

    def script(dtype: type) -> None:
        for levels in some:
            degrade_image(levels, field, rng, dtype)

    seconds = medians(
        {
            "ours": lambda: d(image, keys, mask),
            "estimated": lambda: d(image, keys),
            "script": lambda: script(np.float64),
            "float32": lambda: script(np.float32),
            "copy": lambda: target.copy_(image),
        }
    )
    ms = {
        name: 1e3 * value / (len(some) if name in ("script", "float32") else batch) for name, value in seconds.items()
    }
    memory = peak_extra_bytes(lambda: d(image, keys, mask))
    return {
        "size": size,
        "ms": ms["ours"],
        "images/s": 1e3 / ms["ours"],
        "ms, mask estimated": ms["estimated"],
        "script, ms": ms["script"],
        "times faster": ms["script"] / ms["ours"],
        "script in float32, ms": ms["float32"],
        "copy, ms": ms["copy"],
        "extra memory, batches": None if memory is None else memory / (image.numel() * 4),
    }


def recipes(size: int = 512, batch: int = 8) -> list[Row]:
    """Every recipe as it draws, without gradients and with."""
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, batch), size)
    keys = degrade.make_keys(1, batch)
    leaf = image.clone().requires_grad_()

    def backward(d: degrade.Degradation) -> None:
        d(leaf, keys, mask).sum().backward()

    rows = []
    for name in degrade.RECIPES:
        d = degrade.recipe(name)
        calls = {"forward": partial(d, image, keys, mask), "backward": partial(backward, d)}
        seconds = {call: value / batch * 1e3 for call, value in medians(calls, rounds=3).items()}
        rows.append({"recipe": name, "ms": seconds["forward"], "ms, with gradients": seconds["backward"]})
    return rows


def synth(count: int = 24, size: int = 512, views: int = 4) -> list[Row]:
    """`degrade synth` from files to files: seconds, and the shares of decoding, degrading and encoding."""
    from cli.degrade import main

    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "clean"), Path(folder, "out")
        phantoms = CliRunner().invoke(main, ["synth", f"phantom:fundus?count={count}&size={size}", str(source)])
        result = CliRunner().invoke(main, ["synth", str(source / "clean"), str(out), "--views", str(views)])
        if phantoms.exit_code or result.exit_code:
            raise RuntimeError(result.output or phantoms.output)
        shares = dict(re.findall(r"(decod\w+|degrad\w+|encod\w+)[^\d%]*([\d.]+) ?%", result.output))
    return [{"pairs": count * views, "size": size, **{f"{name}, %": float(value) for name, value in shares.items()}}]
