"""Losses of MAGE-Net: Charbonnier and edge loss of each stage's output, after MPRNet.

Source: Guo et al., "Bridging Synthetic and Real Images: A Transferable and Multiple Consistency Aided Fundus Image
Enhancement Framework" (T-MAGE-Net), IEEE TMI 42(8), 2023; Zamir et al., MPRNet, CVPR 2021.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from degrade.ops.constant import constant
from enhance.losses.arguments import at_least_float32, autocast_off, check_images, check_same_shape

EPSILON = 1e-3

_TAPS = (0.05, 0.25, 0.4, 0.25, 0.05)  # Burt and Adelson's generating kernel, a = 0.4


def charbonnier(enhanced: Tensor, clean: Tensor, epsilon: float = EPSILON) -> Tensor:
    """L_char = mean sqrt((ŷ - y)^2 + eps^2): a smooth L1.

    Ours because kornia's `charbonnier_loss` is another function, sqrt(d^2 + 1) - 1: on images in [0, 1] that is
    nearly a square, not nearly L1.

    Args:
        enhanced, clean: one shape, any number of dimensions.
        epsilon: where L1 turns into a square, in units of the image.

    Returns:
        a scalar, at least epsilon.

    Source: MPRNet, the Charbonnier loss; T-MAGE-Net, the enhancement loss, eps = 1e-3.

    >>> import torch
    >>> charbonnier(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))
    tensor(0.0010)
    """
    check_same_shape(enhanced=enhanced, clean=clean)
    return ((at_least_float32(enhanced) - at_least_float32(clean)).square() + epsilon**2).sqrt().mean()


def edge(enhanced: Tensor, clean: Tensor, epsilon: float = EPSILON) -> Tensor:
    """L_edge = mean sqrt((Δŷ - Δy)^2 + eps^2), Δ the `laplacian`.

    Args:
        enhanced, clean: (B, C, H, W), any number of channels.
        epsilon: as in `charbonnier`.

    Returns:
        a scalar. The weight is left to the trainer: T-MAGE-Net's text says "the sum" (1), MPRNet has 0.05.

    Source: MPRNet, the edge loss; T-MAGE-Net, with the same eps.

    >>> import torch
    >>> flat = torch.zeros(1, 1, 16, 16)
    >>> edge(flat, flat)
    tensor(0.0010)
    """
    check_images(enhanced=enhanced, clean=clean)
    return charbonnier(laplacian(enhanced), laplacian(clean), epsilon)


def laplacian(image: Tensor) -> Tensor:
    """Δx = x - B(U(D(B(x)))): the detail lost when an image is downsampled by 2 and upsampled.

    B is the 5-tap kernel (0.05, 0.25, 0.4, 0.25, 0.05) along both axes with edges replicated, D keeps every second
    pixel, U puts zeros between the pixels and multiplies by 4.

    Args:
        image: (B, C, H, W), any size.

    Returns:
        (B, C, H, W).

    Source: MPRNet's Δ; Burt and Adelson 1983.
    """
    image = at_least_float32(image)
    low = _smooth(image)[..., ::2, ::2]
    spread = image.new_zeros(image.shape)
    spread[..., ::2, ::2] = 4 * low
    return image - _smooth(spread)


def _smooth(image: Tensor) -> Tensor:
    taps = constant(_TAPS, image.dtype, image.device).expand(image.shape[1], 1, 1, -1)
    padded = functional.pad(image, (2, 2, 2, 2), mode="replicate")
    with autocast_off(image):
        rows = functional.conv2d(padded, taps, groups=image.shape[1])
        return functional.conv2d(rows, taps.transpose(-1, -2), groups=image.shape[1])
