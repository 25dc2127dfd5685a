"""The parameters of the cornea model, and where they are in a packed row."""

from __future__ import annotations

from degrade.ops.poisson_constants import LARGEST_RATE
from degrade.packing import columns
from degrade.parameters import Parameter, ParameterTable

LEVELS = 255.0
"""Grey level of full white: the scale of eta and sigma."""

REACH = 8
"""Width of the blur's kernel, in standard deviations: four to either side."""

MOST_PHOTONS = LARGEST_RATE / LEVELS
FACTOR = (0.0, 3.0)
GREY = "grey levels of 255"
PER_LEVEL = "photons per grey level"
_LIGHT = "illumination"
_SHAPE = "coefficients of 1, x, y, x², xy, y² (x, y from -1 to 1 over the frame) of the surface of the "

PARAMETERS = ParameterTable(
    Parameter("gain_low", "gain where its surface is 0", FACTOR, "factor", neutral=1.0, stage=_LIGHT),
    Parameter("gain_high", "gain where its surface is 1", FACTOR, "factor", neutral=1.0, stage=_LIGHT),
    Parameter("gain_shape", _SHAPE + "gain", (-1e6, 1e6), shape=(6,), stage=_LIGHT),
    Parameter("haze", "light added where its surface is 1", (0, 1), "full scale", neutral=0.0, stage=_LIGHT),
    Parameter("haze_shape", _SHAPE + "haze", (-1e6, 1e6), shape=(6,), stage=_LIGHT),
    Parameter("blur_sigma", "standard deviation of the blur", (1e-5, 0.1), "of the side", neutral=1e-5, stage="blur"),
    Parameter(
        "eta", "photons counted", (1e-3, MOST_PHOTONS), "photons per grey level", neutral=MOST_PHOTONS, stage="noise"
    ),
    Parameter("sigma", "standard deviation of the electronic noise", (0, 255), GREY, neutral=0.0, stage="noise"),
    Parameter("noise_key", "key of the uniforms and normals of the pixels", kind="key", stage="noise"),
)

_COLUMNS = columns(PARAMETERS)

GAIN_LOW, GAIN_HIGH, HAZE = (_COLUMNS[name].start for name in ("gain_low", "gain_high", "haze"))
GAIN_SHAPE, HAZE_SHAPE = (_COLUMNS[name].start for name in ("gain_shape", "haze_shape"))
BLUR_SIGMA = _COLUMNS["blur_sigma"].start
ETA, SIGMA, NOISE_KEY = (_COLUMNS[name].start for name in ("eta", "sigma", "noise_key"))
