"""The parameters of the Cofe-Net degradations, and where they are in a packed row."""

from __future__ import annotations

from degrade.models.fundus.constants import BLUR, ILLUMINATION, SPOTS, WIDEST
from degrade.ops.constants import REFERENCE_SIDE
from degrade.packing import columns
from degrade.parameters import MOST_ITEMS, Parameter, ParameterTable

STAGE_BITS = {
    "colour": ILLUMINATION,
    "halo": ILLUMINATION,
    "hole": ILLUMINATION,
    "spots": SPOTS,
    "blur": BLUR,
    "noise": BLUR,
}
"""The stages in the order in which they act, and the bit of `type` that switches each on."""

_ONE_TAP = 1 / REFERENCE_SIDE
_SIDE, _POINT, _SCALE = "of the side", "of width, height", "full scale"
_ANYWHERE = (-2.0, 3.0)
_SIGMA = (1e-5, 8.0)
_RADIUS = (0.0, 64.0)

WIDEST_BLUR = 1.5
"""Largest kernel of the blur, in units of the side: borders can mirror it once."""


def _factor(name: str, meaning: str) -> Parameter:
    return Parameter(name, meaning, (0, 10), "", neutral=1.0, stage="colour", from_setting=True)


def _of(
    stage: str, name: str, meaning: str, allowed: tuple[float, float], unit: str = _SIDE, size: int = 1
) -> Parameter:
    return Parameter(name, meaning, allowed, unit, (size,) if size > 1 else (), stage=stage)


PARAMETERS = ParameterTable(
    Parameter(
        "type",
        "stages that act, as bits: 4 blur and noise, 2 spots, 1 illumination; its binary digits are the published "
        "three-digit code, which manifests show",
        (0, 7),
        kind="stages",
        differentiable=False,
    ),
    _factor("brightness", "factor of brightness"),
    _factor("contrast", "factor of contrast about the mean luma of the frame"),
    _factor("saturation", "factor of saturation"),
    _of("halo", "halo_color", "color of the light leak", (0, 1), _SCALE, 3),
    _of("halo", "halo_center", "center of the ring", _ANYWHERE, _POINT, 2),
    _of("halo", "halo_inner", "radius of the ring", _RADIUS),
    _of("halo", "halo_outer", "other radius of the ring", _RADIUS),
    _of("halo", "halo_kernel", "width of its blur", (0, WIDEST)),
    _of("halo", "halo_sigma", "nominal standard deviation of its blur", _SIGMA),
    Parameter(
        "halo_strength",
        "brightness of the ring",
        (0, 10),
        "of the image's mean",
        neutral=0.0,
        from_setting=True,
        stage="halo",
    ),
    _of("hole", "hole_center", "center of the dark disk", _ANYWHERE, _POINT, 2),
    _of("hole", "hole_radius", "radius of the dark disk", _RADIUS),
    _of("hole", "hole_kernel", "width and height of its blur", (0, WIDEST), _SIDE, 2),
    _of("hole", "hole_sigma", "nominal standard deviation of its blur", _SIGMA),
    Parameter(
        "hole_depth",
        "darkening d of d + s a, with a the mean inside the field",
        (-1, 1),
        _SCALE,
        (),
        neutral=0.0,
        from_setting=True,
        stage="hole",
    ),
    Parameter(
        "hole_slope", "slope s of the same", (-1, 1), "per mean grey", neutral=0.0, from_setting=True, stage="hole"
    ),
    Parameter(
        "hole_threshold",
        "means up to this are spared",
        (0, 1),
        "mean grey",
        from_setting=True,
        stage="hole",
        differentiable=False,
    ),
    Parameter(
        "spot_count",
        "spots with a height above 0; the rest of the N are not there",
        (0, MOST_ITEMS),
        kind="count",
        stage="spots",
        differentiable=False,
    ),
    Parameter("spot_center", "centers of the spots", _ANYWHERE, _POINT, ("N", 2), stage="spots"),
    Parameter("spot_radius", "radii of their disks", (0, 0.25), _SIDE, ("N",), stage="spots"),
    Parameter("spot_height", "brightness of the spots", (0, 2), _SCALE, ("N",), neutral=0.0, stage="spots"),
    Parameter("spot_kernel", "width and height of their blur", (0, 0.5), _SIDE, ("N", 2), stage="spots"),
    Parameter("spot_sigma", "nominal standard deviation of their blur", _SIGMA, _SIDE, ("N",), stage="spots"),
    Parameter(
        "blur_kernel",
        "width and height of the kernel: what acts",
        (0, WIDEST_BLUR),
        _SIDE,
        (2,),
        neutral=_ONE_TAP,
        stage="blur",
    ),
    _of("blur", "blur_sigma", "its nominal standard deviation", _SIGMA),
    Parameter(
        "noise",
        "standard deviation of white noise at 512 pixels",
        (0, 1),
        _SCALE,
        neutral=0.0,
        from_setting=True,
        stage="noise",
    ),
    Parameter("noise_key", "key of its normal numbers", kind="key", stage="noise", differentiable=False),
)

PLAIN = tuple(parameter.name for parameter in PARAMETERS if parameter.from_setting)
"""Parameters that are drawn from the setting of the same name as it is."""

# Columns of a packed row, for kernels. Parameters of spots begin at SPOTS_AT + (their number here) * N and have one or
# two numbers per spot.

_COLUMNS = columns(PARAMETERS)


def _at(name: str) -> int:
    return _COLUMNS[name].start


def _items(name: str) -> int:
    return _COLUMNS[name].items


NOISE_KEY = _at("noise_key")
TYPE = _at("type")
BRIGHTNESS, CONTRAST, SATURATION = (_at(name) for name in ("brightness", "contrast", "saturation"))
HALO_COLOR, HALO_CENTER = _at("halo_color"), _at("halo_center")
HALO_INNER, HALO_OUTER = _at("halo_inner"), _at("halo_outer")
HALO_KERNEL, HALO_SIGMA, HALO_STRENGTH = _at("halo_kernel"), _at("halo_sigma"), _at("halo_strength")
HOLE_CENTER, HOLE_RADIUS = _at("hole_center"), _at("hole_radius")
HOLE_KERNEL, HOLE_SIGMA = _at("hole_kernel"), _at("hole_sigma")
HOLE_DEPTH, HOLE_SLOPE, HOLE_THRESHOLD = _at("hole_depth"), _at("hole_slope"), _at("hole_threshold")
BLUR_KERNEL, BLUR_SIGMA = _at("blur_kernel"), _at("blur_sigma")
NOISE = _at("noise")

SPOTS_AT = _at("spot_center")
SPOT_CENTER, SPOT_RADIUS, SPOT_HEIGHT = _items("spot_center"), _items("spot_radius"), _items("spot_height")
SPOT_KERNEL, SPOT_SIGMA = _items("spot_kernel"), _items("spot_sigma")
