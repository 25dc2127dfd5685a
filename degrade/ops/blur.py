"""Truncated Gaussian blur with one kernel per sample, at any resolution.

The kernel is the published codes' (OpenCV's): a separable Gaussian of standard deviation sigma *cut off* at k taps.
With sigma 5 to 15 and k at most 7 it is nearly a box, so k sets the blur. To mean the same at every resolution, the
box is scaled by its variance, not its width: k taps have variance (k^2 - 1) / 12, and t times the resolution
asks for t^2 times that. A kernel of one tap is then no blur at any size, and at t = 1 an odd whole k gives
the k equal taps of the original exactly. In between, the outermost pair of taps has a fractional weight, which makes
the kernel continuous in its size and differentiable between the odd numbers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from degrade.ops.constants import REFERENCE_SIDE


def taps(size: Tensor, sigma: Tensor, cells: float, reach: int) -> Tensor:
    """The weights of one half of a truncated Gaussian kernel, center first.

    Args:
        size: (...,) width of the kernel as a fraction of the side: k / 512 for k taps at 512 pixels; at most
            1/512 (one tap) means no blur.
        sigma: (...,) standard deviation before cutting, as a fraction of the side; > 0.
        cells: number of grid cells (pixels) along the side.
        reach: taps to either side of the center that are returned; the kernel must fit, `reach_of` tells.

    Returns:
        (..., reach + 1): w_0, w_1, ... with w_0 + 2 (w_1 + w_2 + ...) = 1.

    >>> taps(torch.tensor(3 / 512), torch.tensor(1.0), 512, 2)
    tensor([0.3333, 0.3333, 0.0000])
    """
    lag = torch.arange(reach + 1, dtype=size.dtype, device=size.device)
    width = _width(size, cells)[..., None]
    variance = (width**2 - 1) / 12
    whole = ((width - 1) / 2).floor()
    spread = whole * (whole + 1) * (2 * whole + 1) / 6  # sum of squares of the whole taps' distances
    fraction = (variance * (2 * whole + 1) - 2 * spread) / (2 * ((whole + 1) ** 2 - variance))
    box = torch.where(lag <= whole, 1.0, torch.where(lag == whole + 1, fraction, 0.0))
    weights = box * torch.exp(-0.5 * (lag / (sigma[..., None] * cells)) ** 2)
    # cumsum adds in order on a CPU, so zero taps beyond the kernel change no bit: `reach` may be the batch's
    total = 2 * weights.cumsum(-1)[..., -1:] - weights[..., :1]
    return weights / total


def reach_of(largest: float, cells: float) -> int:
    """Taps to either side that a kernel of size `largest` (fraction of the side) needs on `cells` grid cells.

    >>> reach_of(7 / 512, 512), reach_of(7 / 512, 1024)
    (3, 7)
    """
    variance12 = max(cells**2 * (largest**2 - REFERENCE_SIDE**-2), 0.0)
    # a whole kernel must not gain an empty pair of taps through rounding, hence the small allowance
    return int(-(-((1 + variance12) ** 0.5 - 1.0) / 2 // 1) if variance12 > 1e-9 else 0)


def gaussian_blur(image: Tensor, size: Tensor, sigma: Tensor, reach: tuple[int, int] | None = None) -> Tensor:
    """Separable truncated Gaussian blur, borders reflected without repeating the edge (reflect-101).

    Args:
        image: (B, C, H, W).
        size: (B, 2) width and height of the kernel, fractions of the shorter side.
        sigma: (B,) standard deviation before cutting, fraction of the shorter side.
        reach: taps to either side of the center along x and y that no kernel of the batch exceeds; found from
            `size` if not given, which waits for the device.

    Returns:
        (B, C, H, W), differentiable in all three.
    """
    height, width = image.shape[-2:]
    side = min(height, width)
    if not len(image):
        return image
    if reach is None:
        largest_x, largest_y = size.detach().amax(dim=0).tolist()
        reach = (reach_of(largest_x, side), reach_of(largest_y, side))
    padded = torch.nn.functional.pad(image, (reach[0], reach[0], reach[1], reach[1]), mode="reflect")
    return blur_padded(padded, taps(size[:, 0], sigma, side, reach[0]), taps(size[:, 1], sigma, side, reach[1]))


def blur_padded(padded: Tensor, x_taps: Tensor, y_taps: Tensor) -> Tensor:
    """The separable blur proper: (B, C, H + 2 ry, W + 2 rx), (B, rx + 1), (B, ry + 1) -> (B, C, H, W).

    Shifted multiply-adds on slices: thirty times faster on a CPU than a grouped convolution for these few taps.
    """
    blurred: Tensor = padded
    for weights, axis in ((y_taps, -2), (x_taps, -1)):
        blurred = _BlurAxis.apply(blurred, weights, axis)  # type: ignore[no-untyped-call]
    return blurred


class _BlurAxis(torch.autograd.Function):
    """One axis of the blur, each tap added in place: without a derivative of its own it would need memory for each."""

    generate_vmap_rule = True

    @staticmethod
    def forward(padded: Tensor, weights: Tensor, axis: int) -> Tensor:
        reach = weights.shape[-1] - 1
        slices = _slices(padded, reach, axis)
        weights = weights[:, None, None, None]
        blurred = weights[..., 0] * slices[reach]
        for lag in range(1, reach + 1):
            blurred.addcmul_(weights[..., lag], slices[reach - lag]).addcmul_(weights[..., lag], slices[reach + lag])
        return blurred

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        padded, weights, ctx.axis = inputs
        ctx.save_for_backward(padded, weights)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (gradient,) = gradients
        padded, weights = ctx.saved_tensors
        reach = weights.shape[-1] - 1
        to_padded = to_weights = None
        if ctx.needs_input_grad[0]:
            to_padded = torch.zeros_like(padded)
            for lag in range(-reach, reach + 1):
                part = to_padded.narrow(ctx.axis, reach + lag, gradient.shape[ctx.axis])
                part.addcmul_(weights[:, None, None, None, abs(lag)], gradient)
        if ctx.needs_input_grad[1]:
            by_slice = [(gradient * part).sum(dim=(1, 2, 3)) for part in _slices(padded, reach, ctx.axis)]
            pairs = [by_slice[reach - lag] + by_slice[reach + lag] for lag in range(1, reach + 1)]
            to_weights = torch.stack([by_slice[reach], *pairs], dim=-1)
        return to_padded, to_weights, None


def _slices(padded: Tensor, reach: int, axis: int) -> list[Tensor]:
    """What each tap of a kernel sees, from the first to the last."""
    length = padded.shape[axis] - 2 * reach
    return [padded.narrow(axis, start, length) for start in range(2 * reach + 1)]


def _width(size: Tensor, cells: float) -> Tensor:
    """Width in cells of the box with the variance that `size` has at the reference side, scaled to `cells`."""
    return (1 + cells**2 * (size**2 - REFERENCE_SIDE**-2).clamp_min(0)).sqrt()
