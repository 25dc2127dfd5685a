"""The field of view by compiled loops: the definition's masks, bit for bit or all but."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import degrade
from degrade import fov
from degrade.backend import choose
from degrade.fov import reference
from tests.degrade.test_fov import DATA, disk, photograph

pytest.importorskip("numba", reason="the loops need Numba")

from degrade.fov import cpu, cpu_images

SIZES = [(32, 32), (33, 161), (160, 97), (161, 160), (300, 257), (97, 612), (32, 700), (512, 512)]


def both(image: Tensor) -> tuple[Tensor, Tensor]:
    before = image.clone()
    with degrade.backend("cpu"):
        got = fov.estimate(image)
    assert torch.equal(image.nan_to_num(), before.nan_to_num())
    with degrade.backend("reference"):
        return got, fov.estimate(image)


def pictures(height: int, width: int, seed: int) -> Tensor:
    """Disks that lie anywhere, two pairs of bars, bright specks in the surround, an empty and a bright image."""
    random = np.random.default_rng(seed)
    images = []
    for _ in range(4):
        y, x, radius = (
            random.random() * height,
            random.random() * width,
            (0.2 + 0.5 * random.random()) * min(height, width),
        )
        image = photograph(disk(height, width, y, x, radius), 0.05 * random.random(), 0.02 * random.random(), seed)
        images.append(image)
    images[1][..., : height // 6, :] = 0
    images[1][..., -width // 7 :] = 0
    images[2][..., -4:, -4:] = 1
    return torch.cat([*images, torch.zeros(1, 3, height, width), torch.full((1, 3, height, width), 0.7)])


def test_the_loops_serve() -> None:
    assert choose(reference.OPERATION, torch.device("cpu")).name == "cpu"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_masks_are_the_definitions(size: tuple[int, int], channels: int) -> None:
    """One pixel in 10,000 may differ, where the mean over a block is rounded differently."""
    differ = 0
    for seed in range(4):
        got, expected = both(pictures(*size, seed)[:, :channels])
        assert got.shape == expected.shape
        assert set(got.unique().tolist()) <= {0.0, 1.0}
        differ += int((got != expected).sum())
    assert differ <= 1e-4 * 4 * 6 * size[0] * size[1]


def test_another_constant_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted defect: with a smaller limit, bright specks in the surround count as field."""
    image = photograph(disk(300, 300, 150, 150, 120))
    image[..., 5:25, 5:25] = 0.8
    image[..., 270:295, 20:60] = 0.8
    assert torch.equal(*both(image))
    monkeypatch.setattr(reference, "SPECK", 0.02)
    assert not torch.equal(*both(image))


def test_kernels_are_plain_functions_too() -> None:
    """Sums over squares against NumPy's."""
    plane = np.random.default_rng(0).integers(0, 9, (13, 7)).astype(np.int32)
    for radius in (1, 3, 9):
        sums = np.empty_like(plane)
        cpu_images._box(plane, radius, sums)
        padded = np.pad(plane, radius)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * radius + 1, 2 * radius + 1))
        assert np.array_equal(sums, windows.sum(axis=(2, 3)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_types(dtype: torch.dtype) -> None:
    got, expected = both(pictures(90, 111, 0).to(dtype))
    assert got.dtype == dtype
    assert float((got != expected).float().mean()) <= 1e-4


def test_no_images_and_images_that_are_no_numbers() -> None:
    assert fov.estimate(torch.zeros(0, 3, 40, 50)).shape == (0, 1, 40, 50)
    image = pictures(200, 190, 1)
    image[0, :, 20:60] = float("nan")
    image[1] = float("inf")
    image[2] = -1e30
    masks = cpu.estimate(image)
    assert torch.equal(masks[3:], cpu.estimate(image[3:]))


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_and_batches_change_nothing(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image = pictures(200, 190, 2)
    expected = torch.cat([cpu.estimate(one[None]) for one in image])
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert torch.equal(cpu.estimate(image), expected)
    turned = image.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert torch.equal(cpu.estimate(turned), expected)


@pytest.mark.skipif(not (DATA / "good").is_dir(), reason="needs the real photographs in ../shared/data")
def test_photographs() -> None:
    for file in sorted((DATA / "good").iterdir())[:6]:
        image = torch.from_numpy(np.array(Image.open(file).convert("RGB"))).permute(2, 0, 1)[None].float() / 255
        got, expected = both(image)
        assert float((got != expected).float().mean()) <= 1e-4
