"""Black borders change nothing inside the field of view: on every backend, with and without a given mask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

import degrade
from degrade.fov import reference
from degrade.fov.frame import of_mask
from degrade.images.image_io import read, resize, to_float

DATA = Path(__file__).parents[3] / "shared" / "data" / "fundus"

RECIPES = ("cofe-net", "cofe-net-paper", "pce-net", "cataract")
LEVELS = {"reference": 0.01, "cpu": 0.01, "gpu": 0.1}
NO_BORDER = (0, 0, 0, 0)


def photograph(side: int, seed: int, cut: int = 0) -> tuple[Tensor, Tensor]:
    """A phantom that fills its file, or whose disc is cut off at top and bottom."""
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(seed, 1), side)
    left, top, width, height = of_mask(mask)[0].tolist()
    image, mask = (x[..., max(top, 0) : top + height, max(left, 0) : left + width] for x in (image, mask))
    if cut:
        image, mask = image[..., cut:-cut, :], mask[..., cut:-cut, :]
    return image.contiguous(), mask.contiguous()


def change(recipe: str, backend: str, side: int, seed: int, cut: int, border: tuple[int, int, int, int]) -> Tensor:
    """The difference inside the field that a border makes, grey levels."""
    d = degrade.recipe(recipe, **({"type": "111"} if "-net" in recipe else {}))
    image, mask = photograph(side, seed, cut)
    keys = degrade.make_keys(seed, 1)
    wide, wide_mask = functional.pad(image, border), functional.pad(mask, border)
    left, _, top, _ = border
    with degrade.backend(backend):
        plain, p = d.sample(image, keys, mask)
        bordered, q = d.sample(wide, keys, wide_mask)
    assert all(torch.equal(p[name], q[name]) for name in p)
    height, width = image.shape[-2:]
    back = bordered[..., top : top + height, left : left + width]
    assert not bordered[(wide_mask == 0).expand_as(bordered)].any()
    return (back - plain).abs()[(mask > 0.5).expand_as(plain)] * 255


borders = st.tuples(*(st.integers(0, 130) for _ in range(4)))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    recipe=st.sampled_from(RECIPES),
    backend=st.sampled_from(("reference", "cpu")),
    side=st.integers(70, 160),
    seed=st.integers(0, 99),
    cut=st.sampled_from((0, 0, 7, 12)),
    border=borders,
)
def test_a_black_border_changes_nothing(
    recipe: str, backend: str, side: int, seed: int, cut: int, border: tuple[int, int, int, int]
) -> None:
    assert change(recipe, backend, side, seed, cut, border).max() <= LEVELS[backend]


@pytest.mark.slow
def test_a_black_border_changes_nothing_on_a_gpu() -> None:
    pytest.importorskip("triton")
    assert change("cofe-net-paper", "gpu", 48, 3, 5, (9, 21, 0, 30)).max() <= LEVELS["gpu"]


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_the_whole_file_as_frame_is_caught(backend: str) -> None:
    """The planted defect, and how degradations were before frames: they depend on the border."""
    d = degrade.recipe("pce-net", type="001", frame="image")
    image, mask = photograph(120, 1)
    keys, border = degrade.make_keys(0, 1), (40, 40, 10, 10)
    with degrade.backend(backend):
        plain = d(image, keys, mask)
        bordered = d(functional.pad(image, border), keys, functional.pad(mask, border))
    assert (bordered[..., 10:-10, 40:-40] - plain).abs().mean() > 1 / 255


def test_a_border_of_low_noise_changes_nothing() -> None:
    """Levels 0 to 6, as JPEG leaves: what lies outside the mask is black before the first stage."""
    d, keys = degrade.recipe("cofe-net", type="111"), degrade.make_keys(0, 1)
    image, mask = photograph(120, 1)
    border = (30, 10, 20, 0)
    wide, wide_mask = functional.pad(image, border), functional.pad(mask, border)
    noise = torch.randint(0, 7, wide.shape, generator=torch.Generator().manual_seed(0)) / 255
    noisy = torch.where(wide_mask > 0.5, wide, noise)
    for backend in ("reference", "cpu"):
        with degrade.backend(backend):
            assert torch.equal(d(noisy, keys, wide_mask), d(wide, keys, wide_mask))


def estimated_change(image: Tensor, mask: Tensor, borders: Sequence[tuple[int, int, int, int]]) -> float:
    """The mean difference inside the field that borders make where the mask is estimated, grey levels."""
    d, keys = degrade.recipe("cofe-net", type="111"), degrade.make_keys(0, 1)
    plain, (height, width) = d(image, keys), image.shape[-2:]
    changes = []
    for border in borders:
        left, _, top, _ = border
        back = d(functional.pad(image, border), keys)[..., top : top + height, left : left + width]
        changes.append(float((back - plain).abs()[(mask > 0.5).expand_as(plain)].mean()) * 255)
    return sum(changes) / len(changes)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_estimated_masks_change_little(seed: int) -> None:
    borders = [(0, 0, 30, 30), (50, 20, 0, 5), (160, 160, 160, 160), (0, 300, 300, 40)]
    assert estimated_change(*photograph(200, seed), borders) <= 0.05


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "good").is_dir(), reason="needs the real photographs in ../shared/data")
def test_estimated_masks_of_photographs_change_little() -> None:
    changes = []
    for file in sorted((DATA / "good").iterdir())[::15]:
        image = resize(to_float(read(file)), 512)[None]
        borders = [(60, 0, 30, 90), (200, 150, 0, 5), (0, 400, 256, 256)]
        changes.append(estimated_change(image, degrade.fov.estimate(image), borders))
    assert sum(changes) / len(changes) <= 0.1


def test_one_look_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted defect: a field that is found at the scale of the file alone."""
    image, mask = photograph(200, 1)
    monkeypatch.setattr(reference, "boxes", lambda field: torch.tensor([[0, 0, *field.shape[-2:]]] * len(field)))
    with degrade.backend("reference"):
        assert estimated_change(image, mask, [(300, 300, 300, 300)]) > 0.05


def test_frames_of_a_batch_are_each_its_own() -> None:
    d, keys = degrade.recipe("cofe-net-paper", type="111"), degrade.make_keys(0, 3)
    image, mask = photograph(100, 1)
    pads = ((0, 60, 30, 0), (20, 40, 0, 30), (60, 0, 15, 15))
    batch, masks = (torch.cat([functional.pad(x, pad) for pad in pads]) for x in (image, mask))
    assert of_mask(masks)[:, :2].tolist() == [[0, 30], [20, 0], [60, 15]]
    for backend in ("reference", "cpu"):
        with degrade.backend(backend):
            together = d(batch, keys, masks)
            for i, pad in enumerate(pads):
                assert torch.equal(d(batch[i : i + 1], keys[i : i + 1], masks[i : i + 1])[0], together[i])
                alone = functional.pad(d(image, keys[i : i + 1], mask), pad)[0]
                assert (alone - together[i]).abs().max() * 255 <= 0.01


@pytest.mark.parametrize(
    ("backend", "side"), [("reference", 64), ("cpu", 64), pytest.param("gpu", 40, marks=pytest.mark.slow)]
)
def test_a_given_frame_is_used(backend: str, side: int) -> None:
    d, keys = degrade.recipe("cofe-net", type="111"), degrade.make_keys(0, 2)
    image, _, mask = degrade.phantom.fundus(keys, side)
    frame = of_mask(mask)
    with degrade.backend(backend):
        expected, p = d.sample(image, keys, mask)
        assert torch.equal(d.apply(image, p, mask, frame), expected)
        moved = frame + torch.tensor([-9, 4, 12, 12])
        assert (d.apply(image, p, mask, moved) - expected).abs().max() > 0.01
        far = [-4, -5, 50, 50] if backend == "gpu" else [-40, -50, 300, 300]
        beyond = d.apply(image, p, mask, torch.tensor([far] * 2))
        assert bool(torch.isfinite(beyond).all())


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (torch.zeros(2, 3, dtype=torch.int64), r"frame must be whole numbers \(B, 4\)"),
        (torch.zeros(2, 4), "got torch.float32"),
        (torch.tensor([[0, 0, 20, 64]] * 2), "width and height from 32 to 512"),
        (torch.tensor([[0, 0, 64, 10**6]] * 2), "width and height from 32 to 512"),
        (
            torch.tensor([[0, 0, 64, 64], [64, 0, 32, 32]]),
            r"pixels of the image of 64 x 64; \[\[64, 0, 32, 32\]\] have",
        ),
        (torch.tensor([[0, -40, 32, 40]] * 2), "pixels of the image of 64 x 64"),
    ],
)
def test_wrong_frames_are_named(frame: Tensor, message: str) -> None:
    d = degrade.recipe("cofe-net")
    with pytest.raises(ValueError, match=message):
        d.sample(torch.rand(2, 3, 64, 64), degrade.make_keys(0, 2), torch.ones(2, 1, 64, 64), frame)
    with pytest.raises(ValueError, match="PoissonGaussian has no frame"):
        degrade.recipe("x-bdcnn").sample(torch.rand(2, 1, 64, 64), frame=torch.zeros(2, 4, dtype=torch.int64))


def test_boxes_of_masks() -> None:
    mask = torch.zeros(4, 1, 50, 80)
    mask[0, :, 5:45, 10:70] = 1  # wider than high
    mask[1, :, :, 30:70] = 0.6  # touches top and bottom
    mask[2, :, 20, 33] = 1  # a point
    assert of_mask(mask).tolist() == [[10, -5, 60, 60], [25, 0, 50, 50], [18, 5, 32, 32], [0, -15, 80, 80]]
