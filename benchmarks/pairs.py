"""python -m benchmarks.pairs [--photographs GOOD]: degrade images by keyed parameters, fit the pairs, and measure.

Judged by what acts (`degrade.fit.pair_quantities.effective`), where the fit says that the pair tells it: errors of
places as a share of the frame, of all else as a share of the true value. Spots count as found where a fitted one is
within 2 % of the frame; those are looked for that change a pixel inside the field by 3 grey levels or more.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

import degrade
from degrade import fov, stream
from degrade.fit.pair import PairFit, fit_pair
from degrade.fit.pair_quantities import effective
from degrade.images import image_io
from degrade.pairs.items import Items

_KEYS = 5
_NEAR = 0.02
_VISIBLE = 3 / 255


def photographs(source: str, count: int, size: int) -> tuple[Tensor, Tensor]:
    """Evenly chosen photographs as squares, and their masks."""
    items = list(Items(stream.open_source(source)))
    images, masks = [], []
    for item in items[:: max(len(items) // count, 1)][:count]:
        image = image_io.to_float(item.load())[None]
        square, mask, _ = fov.crop(image, fov.estimate(image), size)
        images.append(square.clamp(0, 1))
        masks.append(mask)
    return torch.cat(images), torch.cat(masks)


def one(clean: Tensor, mask: Tensor, recipe: degrade.Degradation, seed: int) -> dict[str, Any]:
    """Degrade (1, C, H, W) by a key of its own, in 8 bits, and fit it."""
    degraded, truth = recipe.sample(clean, degrade.make_keys(_KEYS, [seed]), mask)
    degraded = (255 * degraded).round() / 255
    began = time.perf_counter()
    fit = fit_pair(clean, degraded, recipe, mask)
    seconds = time.perf_counter() - began
    side = min(512, int(fov.crop(clean, mask)[2].boxes[0, 2:].max()))
    square, inside, _ = fov.crop(clean, mask, side)
    true = effective(square, inside, truth)
    errors = {}
    for q in fit.quantities:
        if q.name in true:
            value = float(true[q.name][0])
            error = abs(q.value - value) / (1.0 if q.is_place else max(abs(value), 1e-9))
            errors[q.name] = (error, q.identified)
    return {
        "errors": errors,
        "residual": fit.grey_levels,
        "explained": fit.explained,
        "change": fit.change,
        "seconds": seconds,
        "type": (f"{int(truth['type']):03b}", fit.type),
        "moved": fit.alignment.moved,
        "spots": _spots(recipe, truth, fit),
    }


def _spots(recipe: degrade.Degradation, truth: degrade.Parameters, fit: PairFit) -> list[float]:
    """How far from each visible spot the nearest fitted one is."""
    found, centers = [], fit.parameters["spot_center"][0]
    whole = recipe.apply(fit.clean, truth, fit.mask)
    for k in range(truth["spot_height"].shape[1] if int(truth["type"]) & 2 else 0):
        heights = truth["spot_height"].clone()
        heights[0, k] = 0
        without = recipe.apply(fit.clean, {**truth, "spot_height": heights}, fit.mask)
        if float(((whole - without) * fit.mask).amax()) >= _VISIBLE:
            distances = (centers - truth["spot_center"][0, k]).norm(dim=1)
            found.append(float(distances.min()) if len(distances) else 1.0)
    return found


def summary(results: list[dict[str, Any]]) -> str:
    """The figures as tables in Markdown."""
    names = list(dict.fromkeys(name for r in results for name in r["errors"]))
    lines = ["| quantity | told by the pair | median error | 90 % of them within |", "|---|---|---|---|"]
    for name in names:
        pairs = [r["errors"][name] for r in results if name in r["errors"]]
        told = torch.tensor([error for error, identified in pairs if identified])
        shown = f"{100 * told.median():.2f} % | {100 * told.quantile(0.9):.2f} %" if len(told) else " | "
        lines.append(f"| {name} | {len(told)} of {len(pairs)} | {shown} |")
    columns = {key: torch.tensor([r[key] for r in results]) for key in ("residual", "explained", "change", "seconds")}
    spots = torch.tensor([distance for r in results for distance in r["spots"]])
    same = sum(true == found for true, found in (r["type"] for r in results))
    lines += [
        "",
        f"{len(results)} pairs; change {columns['change'].median():.1f} grey levels; "
        f"residual: median {columns['residual'].median():.2f}, largest {columns['residual'].max():.2f}; "
        f"explained: median {100 * columns['explained'].median():.2f} %, "
        f"least {100 * columns['explained'].min():.2f} %; "
        f"type found {same} of {len(results)}; moved {sum(r['moved'] for r in results)}; "
        f"{columns['seconds'].median():.0f} s each",
    ]
    if len(spots):
        near = spots[spots <= _NEAR]
        lines.append(
            f"spots: {len(near)} of {len(spots)} visible ones found, median distance {100 * near.median():.2f} %"
        )
    return "\n".join(lines)


@click.command()
@click.option("--photographs", "source", metavar="GOOD", help="Photographs in place of phantoms.")
@click.option("--count", default=100, show_default=True)
@click.option("--size", default=512, show_default=True, help="Pixels.")
@click.option("--recipe", default="cofe-net", show_default=True)
@click.option("--type", "type_", default="111", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Also write the tables there.")
def main(source: str | None, count: int, size: int, recipe: str, type_: str, out: Path | None) -> None:
    """Fit keyed pairs of phantoms or photographs, and print tables as it goes on."""
    if source is None:
        clean, _, mask = degrade.phantom.fundus(degrade.make_keys(0, count), size)
    else:
        clean, mask = photographs(source, count, size)
    known = degrade.recipe(recipe, type=type_)
    results: list[dict[str, Any]] = []
    for k in range(len(clean)):
        results.append(one(clean[k : k + 1], mask[k : k + 1], known, k))
        click.echo(f"{k}: {results[-1]['residual']:.2f} grey levels, {results[-1]['seconds']:.0f} s", err=True)
        if out is not None:
            out.write_text(summary(results) + "\n")
    click.echo(summary(results))


if __name__ == "__main__":
    main()
