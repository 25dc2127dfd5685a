"""python -m benchmarks.camera GOOD POOR [CAMERA] --recipe cataract --recipe fitted.toml: real against degraded images.

Without CAMERA all of GOOD, degraded, are compared with all of POOR.

Poor images are often of another camera than the good ones, and what tells degraded images from them may be that. So
with CAMERA both are of it (what ids begin with, before the first "_"), and beside them stand all others. Few images are
good: each is degraded several times, once in each of several sets, and the figures are means over the sets.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import torch
from torch import Tensor

import degrade
from degrade import fov, stream
from degrade.fit.compare import Comparison, compare_features
from degrade.fit.distance import Scale
from degrade.fit.simulate import Pictures, describe_degraded, set_keys
from degrade.images import image_io
from degrade.pairs.items import Items

_SIZE = 256


def photographs(source: str, size: int = _SIZE) -> Pictures:
    """Every photograph of a source, as squares around its field of view."""
    images, masks, names = [], [], []
    for item in Items(stream.open_source(source)):
        image = image_io.to_float(item.load())[None]
        square, mask, _ = fov.crop(image, fov.estimate(image), size)
        images.append(square.clamp(0, 1))
        masks.append(mask)
        names.append(item.id)
    return Pictures(torch.cat(images), torch.cat(masks), tuple(names))


def of_camera(pictures: Pictures, camera: str, others: bool = False) -> Pictures:
    """Those of a camera, or all others."""
    chosen = [n for n, name in enumerate(pictures.names) if (Path(name).name.split("_")[0] == camera) != others]
    if not chosen:
        raise click.ClickException(f"no image of {camera!r}: allowed is what ids begin with, before the first '_'")
    return pictures.take(torch.tensor(chosen))


def sets(good: Pictures, recipe: degrade.Degradation | None, count: int) -> Iterator[Tensor]:
    """Descriptions of the good images, as they are or degraded anew in each set."""
    for number in range(count if recipe is not None else 1):
        keys = set_keys(1 << 20, len(good), number)
        yield good.describe() if recipe is None else describe_degraded(recipe, good, keys)[0]


def row(name: str, found: list[Comparison]) -> str:
    """A row of a Markdown table: means over the sets, and what differs most in the first."""
    energy, auc = (sum(getattr(c, what) for c in found) / len(found) for what in ("energy", "auc"))
    most = ", ".join(f"{d.feature.name} {d.distance:.1f}" for d in found[0].differences[:4])
    return f"| {name} | {found[0].count[1]} | {energy:.2f} | {auc:.2f} | {most} |"


@click.command(help=__doc__)
@click.argument("good")
@click.argument("poor")
@click.argument("camera", required=False)
@click.option("--recipe", "recipes", multiple=True, default=("cataract", "cofe-net-paper"), help="Name or file.")
@click.option("--sets", "count", type=click.IntRange(1, 100), default=10, help="Draws of each recipe.")
def main(good: str, poor: str, camera: str | None, recipes: tuple[str, ...], count: int) -> None:
    clean, bad = photographs(good), photographs(poor)
    bad = bad if camera is None else of_camera(bad, camera)
    real = bad.describe()
    scale = Scale.of(real)
    print(f"{len(bad)} poor images{f' of {camera}' if camera else ''}; distances in spreads of these\n")
    print("| against | images | energy distance | AUC | largest differences |\n|---|---|---|---|---|")
    for where, chosen, draws in _good(clean, camera, count):
        for name in (None, *recipes):
            made = sets(chosen, None if name is None else degrade.recipe(name), draws)
            found = [compare_features(real, one, scale, clean.images.shape[1]) for one in made]
            print(row(f"{where}, {name or 'as they are'}", found), flush=True)


def _good(clean: Pictures, camera: str | None, count: int) -> Iterator[tuple[str, Pictures, int]]:
    """What the poor ones are compared with: its name, the photographs, and how often each is degraded."""
    if camera is None:
        yield "good", clean, count
        return
    others = of_camera(clean, camera, others=True)
    yield f"good, {camera}", of_camera(clean, camera), count
    yield "good, other cameras", others.take(torch.arange(0, len(others), max(1, len(others) // 40))), 1


if __name__ == "__main__":
    main()
