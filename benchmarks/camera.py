"""python -m benchmarks.camera GOOD POOR CAMERA --recipe cataract --recipe fitted.toml: within one camera.

Poor images are often of another camera than the good ones, and what tells degraded images from them may be that. So
here both are of CAMERA (what ids begin with, before the first "_"), and beside them stand all others. Few images are
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
@click.argument("camera")
@click.option("--recipe", "recipes", multiple=True, default=("cataract", "cofe-net-paper"), help="Name or file.")
@click.option("--sets", "count", type=click.IntRange(1, 100), default=10, help="Draws of each recipe.")
def main(good: str, poor: str, camera: str, recipes: tuple[str, ...], count: int) -> None:
    clean, bad = photographs(good), of_camera(photographs(poor), camera)
    real = bad.describe()
    scale = Scale.of(real)
    print(f"{len(bad)} poor images of {camera}; distances in spreads of these\n")
    print("| against | images | energy distance | AUC | largest differences |\n|---|---|---|---|---|")
    for where, others in ((f"good, {camera}", False), ("good, other cameras", True)):
        chosen = of_camera(clean, camera, others)
        for name in (None, *recipes):
            recipe = None if name is None else degrade.recipe(name)
            sample = chosen if not others else chosen.take(torch.arange(0, len(chosen), max(1, len(chosen) // 40)))
            draws = sets(sample, recipe, count if not others else 1)
            found = [compare_features(real, made, scale, clean.images.shape[1]) for made in draws]
            print(row(f"{where}, {name or 'as they are'}", found), flush=True)


if __name__ == "__main__":
    main()
