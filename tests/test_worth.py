"""benchmarks.worth: networks trained on two recipes, compared on real poor photographs."""

from __future__ import annotations

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from benchmarks.worth import away, cell, interval, main, of_all


def by_darkness(image: Tensor) -> Tensor:
    """(B, 1, H, W): where it is darker than around."""
    grey = image.mean(1, keepdim=True)
    return (torch.nn.functional.avg_pool2d(grey, 9, 1, 4) > grey + 0.02).float()


def test_intervals_of_means_are_those_of_the_normal_law() -> None:
    values = torch.randn(400, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    low, high = interval(lambda index: values[index].mean(), 400)
    half = 1.96 * float(values.std()) / 20
    assert abs(low - (float(values.mean()) - half)) < 0.3 * half
    assert abs(high - (float(values.mean()) + half)) < 0.3 * half


def test_figures_are_means_over_images_and_seeds() -> None:
    seeds = [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 6.0])]
    assert float(of_all(seeds)(torch.tensor([0, 1]))) == 3
    assert float(of_all(seeds)(torch.tensor([1, 1]))) == 4
    assert cell(of_all(seeds), 2).startswith("3 (2 to 4)")


def test_distances_are_means_over_seeds_and_see_a_shift() -> None:
    good = torch.randn(40, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    index = torch.arange(40)
    near, far = (float(away([good + s, good + s], good)(index)) for s in (0.1, 2.0))
    assert near < 0.1 < 1 < far


@pytest.mark.slow
def test_a_blur_is_told_from_nothing_on_phantoms() -> None:
    result = CliRunner().invoke(
        main,
        [
            *("phantom:fundus?count=24&size=160&seed=1", "phantom:fundus?count=6&size=160&seed=2"),
            *("first=identity,identity", "second=gaussian,gaussian", "--segmenter", "tests.test_worth:by_darkness"),
        ],
    )
    assert result.exit_code == 0, result.output
    rows = [line for line in result.stdout.splitlines() if line.startswith("| ")]
    assert [row.split("|")[1].strip() for row in rows[1:]] == ["as they are", "CLAHE", "first", "second"]
    assert rows[1].split("|")[2:] == rows[3].split("|")[2:]  # "first" changes nothing
    of = dict(line.split(": ") for line in result.stdout.splitlines() if ";" in line and ": " in line)
    assert float(of["AvG"].split()[0]) < 0 < float(of["distance to good"].split()[0])
    seeds = of["AvG"].split("; ")[1].split(", ")
    assert len(seeds) == 2
    assert seeds[0] == seeds[1]
