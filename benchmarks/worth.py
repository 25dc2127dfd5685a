"""python -m benchmarks.worth GOOD POOR NAME=RUN[,RUN...]...: what a recipe is worth to the network trained on it.

Networks that differ only in the recipe that they were trained on, several seeds each, enhance real poor photographs
that none of them and no fit has seen. There is no truth, so they are compared with good photographs of other eyes
(energy distance of the descriptions, in spreads of the good ones), and measured by what needs no reference. Beside
them stand the photographs as they are and by CLAHE.

Figures are means over images and seeds; in brackets are 95 % bootstrap intervals over the images. The last lines
compare the second NAME with the first, image by image, and tell the same of each seed.
"""

from __future__ import annotations

from collections.abc import Callable

import click
import torch
from torch import Tensor

from benchmarks.camera import photographs
from cli.methods import open_method
from degrade.fit.distance import Scale, energy_distance
from degrade.fit.features import features_of
from degrade.fit.simulate import Pictures
from enhance.metrics import average_gradient, confusion, entropy, fit_niqe, niqe, piqe
from enhance.segmentation import StructureFinder, find_structures, open_finder

_RESAMPLES = 1000
_CPU = torch.device("cpu")


def enhanced(pictures: Pictures, method: str) -> Pictures:
    """Every picture by a run or a baseline, rounded to 8 bits."""
    network = open_method(method, _CPU)
    pairs = zip(torch.split(pictures.images, 1), torch.split(pictures.masks, 1), strict=True)
    with torch.no_grad():
        made = torch.cat([network.enhance(image, mask) for image, mask in pairs])
    return Pictures((255 * made).round() / 255, pictures.masks, pictures.names)


def vessels(pictures: Pictures, finder: StructureFinder) -> Tensor:
    """(B, 1, H, W): probabilities of vessels."""
    found = [find_structures(finder, *both) for both in zip(pictures.images, pictures.masks, strict=True)]
    return torch.stack(found)[:, :1]


def measured(pictures: Pictures, judges: dict[str, Callable[[Pictures], Tensor]]) -> dict[str, Tensor]:
    """(B,) of each metric."""
    return {name: judge(pictures).double() for name, judge in judges.items()}


def interval(value: Callable[[Tensor], Tensor], count: int) -> tuple[float, float]:
    """95 % bootstrap interval of a function of the images' numbers (N,)."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([value(torch.randint(count, (count,), generator=generator)) for _ in range(_RESAMPLES)])
    low, high = draws.nanquantile(torch.tensor([0.025, 0.975], dtype=draws.dtype)).tolist()
    return low, high


def cell(value: Callable[[Tensor], Tensor], count: int) -> str:
    """A figure and its interval."""
    low, high = interval(value, count)
    return f"{float(value(torch.arange(count))):.3g} ({low:.3g} to {high:.3g})"


def of_all(seeds: list[Tensor]) -> Callable[[Tensor], Tensor]:
    """Mean over some images and all seeds."""
    together = torch.stack(seeds)
    return lambda index: together[:, index].nanmean()


def away(described: list[Tensor], good: Tensor) -> Callable[[Tensor], Tensor]:
    """Mean over seeds of the energy distance of some images to the good ones."""
    return lambda index: torch.stack([energy_distance(one[index], good) for one in described]).mean()


def judges(good: Pictures, poor: Pictures, segmenter: str) -> dict[str, Callable[[Pictures], Tensor]]:
    """What needs no reference: a column each."""
    finder = open_finder(segmenter, _CPU)
    by_clahe = (vessels(enhanced(poor, "clahe"), finder) > 0.5).double()
    model = fit_niqe(good.images, good.masks, patch=max(16, good.images.shape[-1] // 16 * 2))
    contrast = [f.name for f in features_of(poor.images.shape[1])].index("vessels")

    def dice(pictures: Pictures) -> Tensor:
        return confusion(vessels(pictures, finder), by_clahe, pictures.masks).dice

    return {
        "vessel contrast": lambda p: p.describe()[:, contrast],
        "Dice with CLAHE's vessels": dice,
        "entropy": lambda p: entropy(p.images, p.masks),
        "AvG": lambda p: average_gradient(p.images, p.masks),
        "PIQE": lambda p: piqe(p.images, p.masks),
        "NIQE": lambda p: niqe(p.images, model, p.masks),
    }


@click.command(help=__doc__)
@click.argument("good")
@click.argument("poor")
@click.argument("rows", nargs=-1, required=True)
@click.option("--segmenter", required=True, help="A file of 'enhance segmenter'.")
@click.option("--size", type=click.IntRange(64, 1024), default=160, help="Side that the runs were trained at.")
def main(good: str, poor: str, rows: tuple[str, ...], segmenter: str, size: int) -> None:
    clear, bad = photographs(good, size), photographs(poor, size)
    count, columns = len(bad), judges(clear, bad, segmenter)
    scale = Scale.of(clear.describe())
    reference = scale(clear.describe())
    methods = {"as they are": ["identity"], "CLAHE": ["clahe"]}
    methods |= {name: runs.split(",") for name, _, runs in (row.partition("=") for row in rows)}
    print(f"{count} poor photographs, {len(clear)} good ones, {size} pixels\n")
    print("| | " + " | ".join(["distance to good", *columns]) + " |\n|" + "---|" * (len(columns) + 2))
    found: dict[str, list[dict[str, Tensor]]] = {}
    described: dict[str, list[Tensor]] = {}
    for name, runs in methods.items():
        made = [enhanced(bad, run) for run in runs]
        found[name] = [measured(one, columns) for one in made]
        described[name] = [scale(one.describe()) for one in made]
        cells = [cell(away(described[name], reference), count)]
        cells += [cell(of_all([one[c] for one in found[name]]), count) for c in columns]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    tell_difference(list(methods)[2:4], found, described, reference)


def tell_difference(
    both: list[str], found: dict[str, list[dict[str, Tensor]]], described: dict[str, list[Tensor]], good: Tensor
) -> None:
    """Second less first: means, intervals over the images, and of each seed."""
    if len(both) < 2:
        return
    first, second = both
    print(f"\n{second} less {first}, and of each seed:")
    a, b = (away(described[name], good) for name in both)
    count = len(described[first][0])
    seeds = [
        float(energy_distance(y, good) - energy_distance(x, good))
        for x, y in zip(described[first], described[second], strict=True)
    ]
    print(
        f"distance to good: {cell(lambda index: b(index) - a(index), count)}; " + ", ".join(f"{s:.3g}" for s in seeds)
    )
    for column in found[first][0]:
        apart = [y[column] - x[column] for x, y in zip(found[first], found[second], strict=True)]
        each = ", ".join(f"{float(one.nanmean()):.3g}" for one in apart)
        print(f"{column}: {cell(of_all(apart), count)}; {each}")


if __name__ == "__main__":
    main()
