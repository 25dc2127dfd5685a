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
        masked: make the images and their references black outside the field of view first.
        ssim: window of SSIM, see `enhance.metrics.ssim`.
        size: side of the images, pixels; None keeps theirs.
        against: what segmentations are compared with: the truth, or the segmentation of the reference.
        source: who says so.
    """

    whole_frame: bool = False
    masked: bool = False
    ssim: Literal["gaussian", "uniform"] = "gaussian"
    size: int | None = None
    against: Literal["truth", "reference"] = "truth"
    source: str = "ours: the field of view, SSIM as its authors define it"


OWN = Protocol()

PROTOCOLS: Mapping[str, Protocol] = {
    "pcenet": Protocol(
        whole_frame=True,
        masked=True,
        ssim="uniform",
        size=256,
        against="reference",
        source="released code: the whole square of 256, black outside the mask, scikit-image's SSIM, both segmented",
    ),
    "zhao": Protocol(whole_frame=True, source="the whole frame; the paper names no window of SSIM"),
    "magenet": Protocol(
        whole_frame=True, size=256, source="the whole frame; window of SSIM and size are lost, MPRNet's are used"
    ),
    "xbdcnn": Protocol(whole_frame=True, ssim="uniform", source="released code: the whole frame, scikit-image's SSIM"),
    "sspnet": Protocol(whole_frame=True, size=384, source="the whole frame of 384; no references in the paper"),
}
"""By name of the network."""
