"""What a stream draws over an epoch against its recipe; each check has a twin with a planted defect it must reject.

False-alarm rate of each test: 1e-6, at fixed seeds.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor

import degrade
from degrade.stream import PairStream

ALPHA = 1e-6
IMAGES = torch.full((40, 3, 32, 32), 128, dtype=torch.uint8)


def drawn(recipe: degrade.Degradation, epochs: int, views: int = 1) -> dict[str, Tensor]:
    """The parameters of every sample and view of some epochs, in the order of the stream: (N, ...)."""
    stream = PairStream(IMAGES, recipe, batch_size=40, views=views)
    batches = []
    for epoch in range(epochs):
        stream.set_epoch(epoch)
        batches += list(stream)
    names = batches[0].parameters
    return {name: torch.cat([b.parameters[name].flatten(0, 1 if views > 1 else 0) for b in batches]) for name in names}


@pytest.fixture(scope="module")
def parameters() -> dict[str, Tensor]:
    return drawn(degrade.recipe("cofe-net"), epochs=12, views=4)


def uniform_counts(values: Tensor, low: int, high: int) -> float:
    """The p-value of whole numbers being uniform from low to high."""
    counts = torch.bincount(values.to(torch.int64) - low, minlength=high - low + 1)
    if int(values.min()) < low or int(values.max()) > high:
        return 0.0
    return float(stats.chisquare(counts.numpy()).pvalue)


def uniform_range(values: Tensor, low: float, high: float) -> float:
    """The p-value of real numbers being uniform from low to high."""
    return float(stats.kstest(values.double().numpy(), stats.uniform(low, high - low).cdf).pvalue)


def independent(one: Tensor, other: Tensor) -> float:
    """The p-value of two numbers of each sample having no rank correlation."""
    return float(stats.spearmanr(one.numpy(), other.numpy()).pvalue)


def with_leading_type(values: Tensor) -> Tensor:
    """One of the seven types comes half as often again as it should."""
    changed = values.clone()
    changed[(values == 7) & (torch.arange(len(values)) % 2 == 0)] = 1
    return changed


def without_the_last(values: Tensor) -> Tensor:
    """A range that ends one too early, as an open upper end would make it."""
    return torch.where(values == values.max(), values.min(), values)


def narrowed(values: Tensor) -> Tensor:
    """The outer fifth of the range is never drawn."""
    middle = (values.max() + values.min()) / 2
    return torch.where(values == 1, values, middle + (values - middle) * 0.8)


CHECKS: list[tuple[str, Callable[[Tensor], float], Callable[[Tensor], Tensor]]] = [
    ("type", lambda values: uniform_counts(values, 1, 7), with_leading_type),
    ("spot_count", lambda values: uniform_counts(values, 5, 10), without_the_last),
    ("brightness", lambda values: uniform_range(values[values != 1], 0.7, 1.2), narrowed),  # 1: no illumination
    ("contrast", lambda values: uniform_range(values[values != 1], 0.6, 1.4), narrowed),
]


@pytest.mark.parametrize(("name", "check", "defect"), CHECKS, ids=[name for name, _, _ in CHECKS])
def test_draws_match_the_recipe(name, check, defect, parameters) -> None:
    assert len(parameters[name]) == 12 * 40 * 4
    assert check(parameters[name]) > ALPHA
    assert check(defect(parameters[name])) < ALPHA


@pytest.mark.parametrize(("one", "other"), [("brightness", "contrast"), ("brightness", "type"), ("type", "spot_count")])
def test_parameters_are_independent_of_each_other(one, other, parameters) -> None:
    assert independent(parameters[one], parameters[other]) > ALPHA
    score = (parameters[one].double() - parameters[one].double().mean()) / parameters[one].double().std()
    leaning = parameters[other].double() + 0.5 * score
    assert independent(parameters[one], leaning) < ALPHA


@pytest.mark.parametrize("apart", [1, 2, 4])
def test_views_neighbours_and_epochs_are_independent(apart, parameters) -> None:
    """Views follow each other in the table, then samples, then epochs."""
    values = parameters["brightness"]
    assert independent(values[:-apart], values[apart:]) > ALPHA
    table = values.view(12, 40, 4)
    assert independent(table[:-1].flatten(), table[1:].flatten()) > ALPHA
    stuck = table[:1].expand(12, -1, -1)  # what a stream that forgets the epoch would give
    assert independent(stuck[:-1].flatten(), stuck[1:].flatten()) < ALPHA


def test_every_epoch_has_values_of_its_own(parameters) -> None:
    table = parameters["brightness"].view(12, -1)
    assert len(table.unique()) == table.numel()
    assert len(table[:1].expand(12, -1).unique()) < table.numel()


def test_crops_are_uniform_over_their_places() -> None:
    """Each place of a window of 32 in 36 pixels is equally likely, and so is each flip."""
    ramp = torch.arange(36 * 36, dtype=torch.int64).view(1, 1, 36, 36) * 40  # uint16: a pixel tells where it was
    images = torch.from_numpy(ramp.numpy().astype("uint16")).expand(40, -1, -1, -1)
    stream = PairStream(images, degrade.recipe("x-bdcnn"), batch_size=40, crop=32, hflip=True, vflip=True)
    corners = []
    for epoch in range(30):
        stream.set_epoch(epoch)
        corners += [(batch.clean * 65535 / 40).round().to(torch.int64)[:, 0] for batch in stream]
    windows = torch.cat(corners)
    first = windows.flatten(1).min(1).values
    top, left = first // 36, first % 36
    horizontal, vertical = windows[:, 0, 0] > windows[:, 0, -1], windows[:, 0, 0] > windows[:, -1, 0]
    for values, high in ((top, 4), (left, 4), (horizontal, 1), (vertical, 1)):
        assert uniform_counts(values, 0, high) > ALPHA
        assert uniform_counts(without_the_last(values.to(torch.int64)), 0, high) < ALPHA
