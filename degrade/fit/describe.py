"""Describe images by a few dozen numbers that degradations change: light, color, sharpness, noise, haze, spots."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from degrade import fov
from degrade.fit.features import features_of
from degrade.ops.color import luma

SIZE = 256
"""Side in pixels of the square that images are measured on."""

_TINY = 1e-6
_SMOOTHEST = 0.25  # share of the patches that noise is read from
_THRESHOLD, _WIDTH = 0.02, 0.006  # of a bright spot's height, and how soft it is
_HARD = 0.999


def describe(images: Tensor, masks: Tensor | None = None, size: int = SIZE) -> Tensor:
    """Measure the features that `features_of(C)` names.

    Images are cut to the square around their field of view and resized to `size`, so black borders change nothing, and
    the resolution nothing but the finest details, which small images do not have. Only pixels inside the mask count.
    Differentiable in the images almost everywhere.

    Args:
        images: (B, C, H, W) in [0, 1], C = 1 or 3; squares of `size` pixels that fill the frame are taken as they are.
        masks: (B, 1, H, W), 1 inside the field of view; the whole image if not given.
        size: side of the squares, pixels: a multiple of 32, at least 64.

    Returns:
        (B, F), F = len(features_of(C)), finite for every image, all-black ones included.

    Raises:
        ValueError: channels other than 1 or 3, a size that is not allowed, masks of another shape.

    >>> import degrade
    >>> image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, 2), 128)
    >>> names = [feature.name for feature in features_of(3)]
    >>> found = describe(image, mask)
    >>> darker = describe(0.8 * image, mask)
    >>> round(float(darker[0, names.index("luma")] / found[0, names.index("luma")]), 3)
    0.8
    """
    names = [feature.name for feature in features_of(images.shape[1] if images.ndim == 4 else 0)]
    if size < 64 or size % 32:
        raise ValueError(f"size = {size}: allowed are multiples of 32 from 64")
    masks = images.new_ones(len(images), 1, *images.shape[-2:]) if masks is None else masks.to(images)
    image, mask, _ = (images, masks, None) if _fills(images, masks, size) else fov.crop(images, masks, size)
    found = _measure(image, mask)
    return torch.stack([found[name] for name in names], dim=1)


def _fills(images: Tensor, masks: Tensor, size: int) -> bool:
    """Whether every image is the square already: the mask touches opposite sides."""
    if tuple(images.shape[-2:]) != (size, size) or masks.shape != (len(images), 1, size, size):
        return False
    rows, columns = masks.amax(dim=(1, 3)), masks.amax(dim=(1, 2))
    touched = torch.minimum(rows[:, 0], rows[:, -1]) + torch.minimum(columns[:, 0], columns[:, -1])
    return bool((touched > 0).all())


def _measure(image: Tensor, mask: Tensor) -> dict[str, Tensor]:
    grey = luma(image) if image.shape[1] == 3 else image
    both = torch.cat([image, grey, image.amin(1, keepdim=True)], dim=1)
    levels = _pyramid(both, mask)
    found = _tones(*levels[2], channels=image.shape[1])
    found |= _light(*levels[2], *levels[4], channels=image.shape[1])
    found |= _sharpness(levels)
    found |= _noise(image, mask)
    return found | _haze(*levels[2]) | _spots(levels)


def _pyramid(image: Tensor, mask: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Means over 1, 2, 4, 8, 16 and 32 pixels of what is inside, and the masks of cells that are wholly inside."""
    sums, weights = image * mask, mask
    levels = [(sums, mask)]
    for _ in range(5):
        sums, weights = functional.avg_pool2d(sums, 2), functional.avg_pool2d(weights, 2)
        levels.append((sums / weights.clamp_min(_TINY), (weights > _HARD).to(image.dtype)))
    return levels


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """(B, K, H, W), (B, 1, H, W) -> (B, K)."""
    return (values * mask).sum(dim=(2, 3)) / mask.sum(dim=(2, 3)).clamp_min(1)


def _quantiles(values: Tensor, mask: Tensor, shares: tuple[float, ...]) -> list[Tensor]:
    """(B, H, W) each of one quantile inside the mask: (B,) per share."""
    inside = mask.flatten(1) > 0.5
    ordered = torch.where(inside, values.flatten(1), 9.0).sort(dim=1).values
    last = inside.sum(1) - 1
    places = [(share * last).clamp_min(0) for share in shares]
    found = []
    for place in places:
        below = place.floor().long()
        above = torch.minimum(below + 1, last.clamp_min(0))
        low, high = (ordered.gather(1, at[:, None])[:, 0] for at in (below, above))
        found.append(torch.where(last >= 0, low + (place - below) * (high - low), 0.0))
    return found


def _tones(cells: Tensor, mask: Tensor, channels: int) -> dict[str, Tensor]:
    means = _mean(cells, mask)
    grey = cells[:, channels : channels + 1]
    variance = _mean((grey - means[:, channels, None, None, None]).square(), mask)[:, 0]
    dark, middle, bright = _quantiles(grey[:, 0], mask, (0.05, 0.5, 0.95))
    found = {
        "luma": means[:, channels],
        "spread": (variance + _TINY).sqrt(),
        "dark_end": dark,
        "middle": middle,
        "bright_end": bright,
        "black_share": _mean(torch.sigmoid((0.03 - grey) / 0.01), mask)[:, 0],
        "white_share": _mean(torch.sigmoid((grey - 0.95) / 0.01), mask)[:, 0],
    }
    if channels == 3:
        found |= dict(zip(("red", "green", "blue"), means[:, :3].unbind(1), strict=True))
        color = cells[:, :3]
        found["saturation"] = _mean(color.amax(1, keepdim=True) - color.amin(1, keepdim=True), mask)[:, 0]
    return found


def _places(side: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """x and y of cells' centers, from -1 to 1: (1, 1, N, N)."""
    at = (torch.arange(side, device=like.device, dtype=like.dtype) + 0.5) * (2 / side) - 1
    return at[None, None, None, :].expand(1, 1, side, side), at[None, None, :, None].expand(1, 1, side, side)


def _light(cells: Tensor, mask: Tensor, coarse: Tensor, coarse_mask: Tensor, channels: int) -> dict[str, Tensor]:
    x, y = _places(cells.shape[-1], cells)
    radius = (x * x + y * y).sqrt()
    rim = _mean(cells, mask * (radius > 0.8)) - _mean(cells, mask * (radius < 0.5))
    rim = rim / (_mean(cells, mask) + 0.02)
    found = {"rim": rim[:, channels]}
    if channels == 3:
        found |= dict(zip(("rim_red", "rim_green", "rim_blue"), rim[:, :3].unbind(1), strict=True))
    grey, rough = cells[:, channels : channels + 1], coarse[:, channels : channels + 1]
    return found | _surface(grey, mask, x, y) | _cells(rough, coarse_mask)


def _surface(grey: Tensor, mask: Tensor, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Least squares with 1, x, y, x^2 + y^2, x^2 - y^2, 2 x y."""
    terms = torch.cat([torch.ones_like(x), x, y, x * x + y * y, x * x - y * y, 2 * x * y], dim=1).flatten(2)
    weighted = terms * mask.flatten(2)
    normal = weighted @ terms.transpose(1, 2) + 1e-3 * torch.eye(6, dtype=grey.dtype, device=grey.device)
    solved = torch.linalg.solve(normal, weighted @ grey.flatten(2).transpose(1, 2))[..., 0]
    solved = solved / (_mean(grey, mask) + 0.02)
    return {
        "slope": (solved[:, 1:3].square().sum(1) + _TINY).sqrt(),
        "tilt_x": solved[:, 1],
        "tilt_y": solved[:, 2],
        "bowl": solved[:, 3],
        "saddle": (solved[:, 4:].square().sum(1) + _TINY).sqrt(),
    }


def _cells(grey: Tensor, mask: Tensor) -> dict[str, Tensor]:
    mean = _mean(grey, mask)[..., None, None]
    relative = grey / (mean + 0.02) - mean / (mean + 0.02)
    x, y = _places(grey.shape[-1], grey)
    weight = torch.sigmoid((-0.25 - relative) / 0.05) * mask + 1e-4 * mask
    total = weight.sum(dim=(2, 3)).clamp_min(_TINY)
    at_x, at_y = ((weight * place).sum(dim=(2, 3)) / total for place in (x, y))
    away = ((x - at_x[..., None, None]).square() + (y - at_y[..., None, None]).square()) * weight
    return {
        "darkest": -_soft_largest(-relative, mask),
        "brightest": _soft_largest(relative, mask),
        "dark_area": _mean(torch.sigmoid((-0.25 - relative) / 0.05), mask)[:, 0],
        "bright_area": _mean(torch.sigmoid((relative - 0.25) / 0.05), mask)[:, 0],
        "dark_x": at_x[:, 0],
        "dark_y": at_y[:, 0],
        "dark_size": (away.sum(dim=(2, 3)) / total + _TINY).sqrt()[:, 0],
    }


def _soft_largest(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of the values inside, weighted by exp(20 values): nearly their maximum, and smooth."""
    weight = torch.exp(20 * (values - values.amax(dim=(2, 3), keepdim=True).detach()).clamp_min(-4)) * mask
    return ((values * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3)).clamp_min(_TINY))[:, 0]


def _larger(coarse: Tensor, side: int) -> Tensor:
    return functional.interpolate(coarse, (side, side), mode="bilinear", align_corners=False)


def _sharpness(levels: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    grey = [cells[:, -2:-1] for cells, _ in levels]
    found = {}
    for finer, name in enumerate(("detail_2", "detail_4", "detail_8", "detail_16")):
        across, down, diagonal = _haar(grey[finer])
        mask = levels[finer + 1][1]
        power = _mean(across.square() + down.square() + diagonal.square(), mask)[:, 0]
        found[name] = 0.5 * torch.log10(power + 1e-7)
        if not finer:
            sides = [0.5 * torch.log10(_mean(part.square(), mask)[:, 0] + 1e-7) for part in (across, down)]
            found["fall_x"] = sides[0] - sides[1]
    found["fall_2"] = found["detail_2"] - found["detail_4"]
    found["fall_4"] = found["detail_4"] - found["detail_8"]
    # what is darker than its surround: vessels are some hundredths of the side wide
    deep = (_larger(grey[3], grey[1].shape[-1]) - grey[1]) / (_mean(grey[2], levels[2][1])[..., None, None] + 0.05)
    inside = _inner(levels)
    deep = deep.clamp_min(0)
    found["vessels"] = _mean(deep, inside)[:, 0]
    found["vessel_peaks"] = (_mean(deep.pow(4), inside)[:, 0] + 1e-12).pow(0.25)
    return found


def _inner(levels: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The mask at half the resolution without its rim, 1/16 of the side."""
    return functional.interpolate(_eroded(levels[4][1]), levels[1][0].shape[-2:], mode="nearest")


def _eroded(mask: Tensor) -> Tensor:
    """Cells whose eight neighbours are inside, too; beyond the image counts as inside."""
    return 1 - functional.max_pool2d(1 - mask, 3, 1, 1)


def _haar(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Differences in blocks of 2 x 2 over 2: across, down and diagonal."""
    a, b, c, d = image[..., ::2, ::2], image[..., ::2, 1::2], image[..., 1::2, ::2], image[..., 1::2, 1::2]
    return (a - b + c - d) / 2, (a + b - c - d) / 2, (a - b - c + d) / 2


def _noise(image: Tensor, mask: Tensor) -> dict[str, Tensor]:
    inside = (functional.avg_pool2d(mask, 8) > _HARD)[:, 0]
    parts = {"noise": image[:, 1:2] if image.shape[1] == 3 else image}
    if image.shape[1] == 3:
        parts["color_noise"] = image[:, :1] - image[:, 1:2]
    found = {}
    for name, part in parts.items():
        power = functional.avg_pool2d(_haar(part)[2].square(), 4)[:, 0]
        ordered = torch.where(inside, power, 9.0).flatten(1).sort(dim=1).values
        few = (_SMOOTHEST * inside.flatten(1).sum(1)).long()
        kept = torch.arange(ordered.shape[1], device=image.device) < few[:, None]
        found[name] = 255 * ((ordered * kept).sum(1) / few.clamp_min(1) + 1e-9).sqrt()
    return found


def _haze(cells: Tensor, mask: Tensor) -> dict[str, Tensor]:
    darkest = cells[:, -1:]
    local = -functional.max_pool2d(-torch.where(mask > 0, darkest, 9.0), 5, 1, 2)
    return {
        "haze": _mean(local.clamp_max(1), mask)[:, 0],
        "haze_least": _quantiles(darkest[:, 0], mask, (0.05,))[0],
    }


def _spots(levels: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Local maxima of the darkest channel over its surround, at two sizes."""
    darkest = [cells[:, -1:] for cells, _ in levels]
    found = {}
    for at, name in ((1, "small"), (2, "large")):
        side = darkest[at].shape[-1]
        inside = functional.interpolate(_eroded(levels[4][1]), (side, side), mode="nearest")
        above = (darkest[at] - _larger(darkest[at + 2], side)) * inside
        peak = torch.where(above == functional.max_pool2d(above, 5, 1, 2), above, 0.0).clamp_min(0)
        found[f"spots_{name}"] = torch.sigmoid((peak - _THRESHOLD) / _WIDTH).sub(_NOTHING).clamp_min(0).sum((1, 2, 3))
        best = peak.flatten(1).topk(8, dim=1).values
        found["spot_height" if name == "small" else "spot_height_large"] = best.mean(1)
        if name == "large":
            found["spot_area"] = _mean(torch.sigmoid((above - _THRESHOLD) / _WIDTH), inside)[:, 0]
    return found


_NOTHING = 1 / (1 + 2.718281828459045 ** (_THRESHOLD / _WIDTH))
"""What the soft threshold gives where there is no spot."""
