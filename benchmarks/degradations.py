"""The fundus degradations: ours against the usual per-image script, and what `degrade synth` spends its time on."""

from __future__ import annotations

import re
import tempfile
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
    rows = []
    for size in sizes:
        image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, batch), size)
        keys = degrade.make_keys(1, batch)
        d = degrade.recipe("cofe-net", type="111")
        levels = [np.ascontiguousarray(x.permute(1, 2, 0).mul(255).round().byte().numpy()) for x in image]
        field = np.ascontiguousarray(mask[0, 0].numpy())
        rng = np.random.default_rng(0)
        target = torch.empty_like(image)

        def script() -> None:
            for picture in levels[:4]:
                degrade_image(picture, field, rng)

        seconds = medians(
            {
                "ours": lambda: d(image, keys, mask),
                "ours, mask estimated": lambda: d(image, keys),
                "script": script,
                "copy": lambda: target.copy_(image),
            }
        )
        ours, estimated, copy = (seconds[name] / batch for name in ("ours", "ours, mask estimated", "copy"))
        per_image = seconds["script"] / 4
        memory = peak_extra_bytes(lambda: d(image, keys, mask))
        rows.append(
            {
                "size": size,
                "ms": ours * 1e3,
                "images/s": 1 / ours,
                "ms, mask estimated": estimated * 1e3,
                "script, ms": per_image * 1e3,
                "times faster": per_image / ours,
                "copy, ms": copy * 1e3,
                "extra memory, batches": None if memory is None else memory / (image.numel() * 4),
            }
        )
    return rows


def recipes(size: int = 512, batch: int = 8) -> list[Row]:
    """Every recipe as it draws, without gradients and with."""
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, batch), size)
    keys = degrade.make_keys(1, batch)
    rows = []
    for name in degrade.RECIPES:
        d = degrade.recipe(name)
        leaf = image.clone().requires_grad_()
        seconds = medians(
            {
                "forward": lambda d=d: d(image, keys, mask),
                "backward": lambda d=d, leaf=leaf: d(leaf, keys, mask).sum().backward(),
            },
            rounds=3,
        )
        rows.append(
            {
                "recipe": name,
                "ms": seconds["forward"] / batch * 1e3,
                "ms, with gradients": seconds["backward"] / batch * 1e3,
            }
        )
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
