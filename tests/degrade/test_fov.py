"""Field-of-view masks: synthetic disks whose masks are known, what must not matter, and real masks where present."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from degrade import fov

DATA = Path(__file__).parents[3] / "shared" / "data" / "fundus"


def disk(height: int, width: int, y: float, x: float, radius: float) -> Tensor:
    """(1, 1, H, W) mask of a disk; all three in pixels."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((rows + 0.5 - y) ** 2 + (columns + 0.5 - x) ** 2 < radius**2).float()[None, None]


def photograph(mask: Tensor, surround: float = 0.0, noise: float = 0.0, seed: int = 0) -> Tensor:
    """(1, 3, H, W): a vignetted orange field on a dark, noisy surround."""
    height, width = mask.shape[-2:]
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    colour = torch.tensor([0.7, 0.35, 0.15]).view(1, 3, 1, 1)
    image = mask * colour * (1 - 0.25 * (y**2 + x**2)) + (1 - mask) * surround
    generator = torch.Generator().manual_seed(seed)
    return (image + noise * torch.randn(image.shape, generator=generator)).clamp(0, 1)


def iou(a: Tensor, b: Tensor) -> float:
    return float(((a > 0.5) & (b > 0.5)).sum() / ((a > 0.5) | (b > 0.5)).sum())


@pytest.mark.parametrize(
    ("height", "width", "y", "x", "radius"),
    [
        (512, 512, 256, 256, 250),  # whole
        (512, 512, 256, 256, 300),  # cut off on all sides: only the corners are dark
        (384, 576, 192, 288, 230),  # cut off above and below
        (576, 384, 288, 192, 230),  # cut off left and right
        (400, 500, 230, 180, 150),  # off centre
        (512, 512, 256, 0, 240),  # half a disk
        (512, 512, 512, 512, 400),  # a quarter
        (97, 131, 50, 60, 44),  # small, odd sides
        (32, 32, 16, 16, 13),
        (1000, 777, 500, 390, 370),
    ],
)
@pytest.mark.parametrize(("surround", "noise"), [(0.0, 0.0), (0.02, 0.015), (0.06, 0.02)])
def test_disks(height: int, width: int, y: float, x: float, radius: float, surround: float, noise: float) -> None:
    mask = disk(height, width, y, x, radius)
    image = photograph(mask, surround, noise)
    limit = 0.99 if min(height, width) > 200 else 0.96
    assert iou(fov.estimate(image), mask) > limit
    assert iou(fov.estimate(image.mean(1, keepdim=True)), mask) > limit


@pytest.mark.parametrize("exposure", [1.0, 0.4, 0.15])
def test_dark_places_inside_are_field(exposure: float) -> None:
    mask = disk(512, 512, 256, 256, 240)
    image = photograph(mask, 0.01, 0.005)
    image = image * (1 - disk(512, 512, 256, 300, 60))  # a black macula
    image[..., 250:256, :256] = 0.0  # a black vessel from the middle to the edge
    image = image * torch.linspace(0.2, 1.0, 512)  # a dark side
    assert iou(fov.estimate(image * exposure), mask) > 0.985


def test_text_in_the_surround_is_not_field() -> None:
    mask = disk(512, 512, 256, 256, 240)
    image = photograph(mask)
    clean = fov.estimate(image)
    image[..., 10:40, 10:50] = 1.0
    image[..., 480:490, 380:500:3] = 1.0
    assert iou(fov.estimate(image), clean) > 0.995


@pytest.mark.parametrize("level", [0.0, 0.03, 0.3, 1.0])
def test_constant_images_are_field_as_a_whole(level: float) -> None:
    assert fov.estimate(torch.full((2, 3, 64, 80), level)).min() == 1


def test_no_surround_no_mask() -> None:
    image = photograph(torch.ones(1, 1, 200, 300), noise=0.05)
    image = image * (1 - disk(200, 300, 100, 150, 40))
    assert fov.estimate(image).min() == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes(dtype: torch.dtype) -> None:
    image = photograph(disk(160, 200, 80, 100, 75), 0.02, 0.01)
    mask = fov.estimate(image.to(dtype))
    assert mask.dtype == dtype
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert iou(mask, fov.estimate(image)) > 0.995


def test_a_sample_does_not_depend_on_its_batch() -> None:
    fields = [disk(300, 340, 150, 170, radius) for radius in (140.0, 160.0, 400.0, 90.0)]
    images = torch.cat([photograph(field, 0.03, 0.02, seed) for seed, field in enumerate(fields)])
    masks = fov.estimate(images)
    for index in range(len(images)):
        assert torch.equal(fov.estimate(images[index : index + 1])[0], masks[index])


def test_the_image_is_left_alone_and_memory_layout_does_not_matter() -> None:
    image = photograph(disk(200, 210, 90, 100, 80), 0.03, 0.02).requires_grad_()
    before = image.detach().clone()
    mask = fov.estimate(image)
    assert torch.equal(image, before)
    assert not mask.requires_grad
    assert mask.is_contiguous()
    assert torch.equal(fov.estimate(image.to(memory_format=torch.channels_last)), mask)


def test_mirrored_images_have_mirrored_masks() -> None:
    image = photograph(disk(320, 320, 150, 130, 120), 0.02, 0.01)
    mask = fov.estimate(image)
    for dims in ((-1,), (-2,), (-2, -1)):
        assert torch.equal(fov.estimate(image.flip(dims)), mask.flip(dims))


def test_refusals() -> None:
    with pytest.raises(ValueError, match="image must be"):
        fov.estimate(torch.zeros(1, 2, 64, 64))
    with pytest.raises(ValueError, match="image must be"):
        fov.estimate(torch.zeros(3, 64, 64))
    with pytest.raises(ValueError, match="at least 32"):
        fov.estimate(torch.zeros(1, 3, 31, 64))
    with pytest.raises(TypeError, match="uint8"):
        fov.estimate(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same_mask() -> None:
    image = photograph(disk(512, 512, 256, 256, 270), 0.03, 0.02)
    assert iou(fov.estimate(image.cuda()).cpu(), fov.estimate(image)) > 0.9999


@pytest.mark.skipif(not (DATA / "fov").is_dir(), reason="needs the real photographs and masks in ../shared/data")
@pytest.mark.parametrize("side", [None, 512])
def test_real_masks(side: int | None) -> None:
    def load(path: Path, mode: str) -> Tensor:
        picture = Image.open(path).convert(mode)
        if side:
            kind = Image.Resampling.NEAREST if mode == "L" else Image.Resampling.BILINEAR
            picture = picture.resize((side, side), kind)
        return torch.from_numpy(np.array(picture)).reshape(*picture.size[::-1], -1).permute(2, 0, 1)[None] / 255

    found = []
    for path in sorted((DATA / "fov").glob("*.png")):
        for photo in (DATA / "good").glob(path.stem + ".*"):
            found.append(iou(fov.estimate(load(photo, "RGB")), load(path, "L")))
    assert float(np.median(found)) >= 0.99
    assert min(found) >= 0.97


@pytest.mark.parametrize("pad", [(0, 0, 20, 20), (37, 11, 0, 0), (0, 60, 60, 0)])
def test_black_bars_around_a_grey_surround(pad: tuple[int, int, int, int]) -> None:
    """Letterboxing a photograph whose surround is not quite black must not hide its surround."""
    y, x = torch.meshgrid(torch.arange(200), torch.arange(220), indexing="ij")
    disk = ((y - 100) ** 2 + (x - 110) ** 2 < 90**2).float()
    image = torch.nn.functional.pad(0.035 + 0.5 * disk, pad).expand(1, 3, -1, -1)
    truth = torch.nn.functional.pad(disk, pad)
    got = fov.estimate(image)[0, 0]
    assert (got * truth).sum() / torch.maximum(got, truth).sum() > 0.98


def test_black_bars_around_a_picture_without_a_surround() -> None:
    image = torch.nn.functional.pad(torch.rand(1, 3, 128, 128) * 0.5 + 0.3, (0, 0, 32, 32))
    got = fov.estimate(image)[0, 0]
    assert got[33:-33].mean() > 0.995
    assert got[:31].max() == got[-31:].max() == 0
