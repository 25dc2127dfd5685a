"""The parameters of the cataract model, and where they are in a packed row."""

from __future__ import annotations

from degrade.ops.constants import REFERENCE_SIDE
from degrade.packing import columns
from degrade.parameters import Parameter, ParameterTable

PIXEL = 1 / REFERENCE_SIDE
SIDE = "of the side"
SMOOTHING = (5 * PIXEL, 1.1 * PIXEL)
"""Size and standard deviation of the distance map's blur: 5 x 5 taps, OpenCV's sigma for that size."""


def _factor(name: str, meaning: str) -> Parameter:
    return Parameter(name, meaning, (0, 10), neutral=1.0, stage="colour")


PARAMETERS = ParameterTable(
    Parameter(
        "blur_kernel", "width and height of the blur's kernel", (0, 0.5), SIDE, (2,), neutral=PIXEL, stage="blur"
    ),
    Parameter("blur_sigma", "its nominal standard deviation", (1e-5, 8), SIDE, stage="blur"),
    Parameter("veil_center", "where the veil is thinnest", (-2, 3), "of width, height", (2,), stage="veil"),
    Parameter("veil", "opacity of the veil where it is thickest", (0, 1), neutral=0.0, stage="veil"),
    Parameter("transmission", "light that passes the lens", (0, 1), "factor", neutral=1.0, stage="veil"),
    _factor("contrast", "factor of contrast about the mean luma of the frame"),
    _factor("brightness", "factor of brightness"),
    _factor("saturation", "factor of saturation"),
)

_COLUMNS = columns(PARAMETERS)

BLUR_KERNEL, BLUR_SIGMA = (_COLUMNS[name].start for name in ("blur_kernel", "blur_sigma"))
VEIL_CENTER, VEIL, TRANSMISSION = (_COLUMNS[name].start for name in ("veil_center", "veil", "transmission"))
CONTRAST, BRIGHTNESS, SATURATION = (_COLUMNS[name].start for name in ("contrast", "brightness", "saturation"))
