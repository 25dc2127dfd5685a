"""How images are measured: ours, and each paper's own, where it or its released code says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Protocol:
    """How images are measured.

    Attributes:
        whole_frame: measure the whole frame, black surround included, instead of the field of view.
        ssim: window of SSIM, see `enhance.metrics.ssim`.
        size: side of the images, pixels; None keeps theirs.
        against: what segmentations are compared with: the truth, or the segmentation of the reference.
        source: who says so.
    """

    whole_frame: bool = False
    ssim: Literal["gaussian", "uniform"] = "gaussian"
    size: int | None = None
    against: Literal["truth", "reference"] = "truth"
    source: str = "ours: the field of view, SSIM as its authors define it"


OWN = Protocol()

PROTOCOLS: Mapping[str, Protocol] = {
    "pcenet": Protocol(
        True, "uniform", 256, "reference", "released code: the whole square of 256, scikit-image's SSIM, both segmented"
    ),
    "zhao": Protocol(True, "gaussian", None, "truth", "the whole frame; the paper names no window of SSIM"),
    "magenet": Protocol(
        True, "gaussian", 256, "truth", "the whole frame; window of SSIM and size are lost, MPRNet's are used"
    ),
    "xbdcnn": Protocol(True, "uniform", None, "truth", "released code: the whole frame, scikit-image's SSIM"),
    "sspnet": Protocol(True, "gaussian", 384, "truth", "the whole frame of 384; no references in the paper"),
}
"""By name of the network."""
