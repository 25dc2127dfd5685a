"""The features that `describe` measures: their names, units and meanings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Feature:
    """One number that an image is described by.

    Args:
        name: a word for tables.
        unit: of the number.
        meaning: what it is, for readers of docs/fitting.md.
        group: color, light, sharpness, noise, haze or spots.
        color: whether only color images have it.
        floor: smallest standard deviation between images that matters, in its unit: differences are counted in
            standard deviations of the set, never in smaller units than this.
    """

    name: str
    unit: str
    meaning: str
    group: str
    color: bool = False
    floor: float = 0.01


_FULL, _RATIO, _LOG, _COUNT, _PLACE = "full scale", "of the mean", "log10 of full scale", "spots", "of the half side"


def _f(group: str, name: str, unit: str, meaning: str, color: bool = False, floor: float = 0.01) -> Feature:
    return Feature(name, unit, meaning, group, color, floor)


ALL = (
    _f("color", "red", _FULL, "mean of the red channel", True),
    _f("color", "green", _FULL, "mean of the green channel", True),
    _f("color", "blue", _FULL, "mean of the blue channel", True),
    _f("color", "luma", _FULL, "mean grey value"),
    _f("color", "saturation", _FULL, "mean of the largest minus the smallest channel", True),
    _f("color", "spread", _FULL, "standard deviation of grey values, details below 1/64 of the side left out"),
    _f("color", "dark_end", _FULL, "5 % quantile of the same grey values"),
    _f("color", "middle", _FULL, "their median"),
    _f("color", "bright_end", _FULL, "their 95 % quantile"),
    _f("color", "black_share", "share", "how much of the field is darker than 0.03"),
    _f("color", "white_share", "share", "how much of it is brighter than 0.95"),
    _f("light", "rim", _RATIO, "light beyond 0.8 of the radius less light within 0.5"),
    _f("light", "rim_red", _RATIO, "the same of red", True),
    _f("light", "rim_green", _RATIO, "the same of green", True),
    _f("light", "rim_blue", _RATIO, "the same of blue", True),
    _f("light", "slope", _RATIO, "steepness of the plane through the light, per half side"),
    _f("light", "tilt_x", _RATIO, "its slope to the right"),
    _f("light", "tilt_y", _RATIO, "its slope downwards"),
    _f("light", "bowl", _RATIO, "curvature: coefficient of the squared radius"),
    _f("light", "saddle", _RATIO, "size of the two other quadratic coefficients"),
    _f("light", "darkest", _RATIO, "darkest of 16 x 16 cells, less the mean"),
    _f("light", "brightest", _RATIO, "brightest of them, less the mean"),
    _f("light", "dark_area", "share", "cells more than a quarter darker than the mean"),
    _f("light", "bright_area", "share", "cells more than a quarter brighter than the mean"),
    _f("light", "dark_x", _PLACE, "where it is dark: center of the darker cells, to the right", floor=0.02),
    _f("light", "dark_y", _PLACE, "the same, downwards", floor=0.02),
    _f("light", "dark_size", _PLACE, "how far the darker cells are from that center", floor=0.02),
    _f("sharpness", "detail_2", _LOG, "root mean square of details of 2 of 256 pixels, as a logarithm", floor=0.02),
    _f("sharpness", "detail_4", _LOG, "of 4 pixels", floor=0.02),
    _f("sharpness", "detail_8", _LOG, "of 8 pixels", floor=0.02),
    _f("sharpness", "detail_16", _LOG, "of 16 pixels", floor=0.02),
    _f("sharpness", "fall_2", "decades", "detail_2 less detail_4: what a blur takes first", floor=0.02),
    _f("sharpness", "fall_4", "decades", "detail_4 less detail_8", floor=0.02),
    _f("sharpness", "fall_x", "decades", "finest details across less those down", floor=0.02),
    _f("sharpness", "vessels", _RATIO, "mean depth of dark structures as wide as vessels", floor=0.002),
    _f("sharpness", "vessel_peaks", _RATIO, "the same with the darkest counting most", floor=0.002),
    _f("noise", "noise", "grey levels of 255", "blind: finest diagonal details of the smoothest patches", floor=0.05),
    _f("noise", "color_noise", "grey levels of 255", "the same of red less green", True, 0.05),
    _f("haze", "haze", _FULL, "mean of the darkest channel's local minimum: light that was added everywhere"),
    _f("haze", "haze_least", _FULL, "5 % quantile of the darkest channel"),
    _f("spots", "spots_small", _COUNT, "bright spots of about 1/64 of the side", floor=0.3),
    _f("spots", "spots_large", _COUNT, "bright spots of about 1/32 of the side", floor=0.3),
    _f("spots", "spot_area", "share", "how much of the field bright spots cover", floor=0.002),
    _f("spots", "spot_height", _FULL, "mean brightness of the eight brightest small spots", floor=0.003),
    _f("spots", "spot_height_large", _FULL, "the same of the large ones", floor=0.003),
)
"""Every feature, in the order of the columns that `describe` returns for color images."""


def features_of(channels: int) -> tuple[Feature, ...]:
    """The features of images with so many channels, 1 or 3: the columns of `describe`.

    >>> len(features_of(3)) > len(features_of(1))
    True
    """
    if channels not in (1, 3):
        raise ValueError(f"channels = {channels}: allowed are 1 and 3")
    return tuple(feature for feature in ALL if channels == 3 or not feature.color)


def to_markdown() -> str:
    """The features as docs/fitting.md lists them."""
    lines = ["| feature | group | unit | meaning |", "|---|---|---|---|"]
    for f in ALL:
        lines.append(f"| `{f.name}` | {f.group} | {f.unit} | {f.meaning}{' (color images)' if f.color else ''} |")
    return "\n".join(lines) + "\n"
