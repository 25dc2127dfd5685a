"""Image quality and segmentation metrics: batches in, one number per image out, on the device of the images.

A number never depends on the other images of its batch, and with a mask never on anything outside it. Nothing is
downloaded. Every docstring states its setting; docs/metrics.md says which published figures can be compared.
"""

from enhance.metrics.content import average_gradient, entropy
from enhance.metrics.naturalness import NiqeModel, fit_niqe, niqe
from enhance.metrics.perception import piqe
from enhance.metrics.reference import psnr, snr, ssim
from enhance.metrics.segmentation import Confusion, auc, confusion

__all__ = [
    "Confusion",
    "NiqeModel",
    "auc",
    "average_gradient",
    "confusion",
    "entropy",
    "fit_niqe",
    "niqe",
    "piqe",
    "psnr",
    "snr",
    "ssim",
]
