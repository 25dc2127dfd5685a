"""Constants of the field of view that the definition and its compiled twin share."""

SHRUNK = 160
"""The longest side, in pixels, at which the field is found; its edge is then placed between those pixels."""

LEVELS = 4096
"""Levels of brightness at that size: sums of a row of them are exact in float32."""

DARK = 0.1
"""A border brighter than this (after averaging) is no surround."""

BAR = 0.004
"""Rows and columns no brighter than this, along the frame's sides, are black bars: no part of the photograph."""

SPECK = 0.12
"""Bright things in the surround that hold no square of this side (a fraction of the shorter one) are not field."""

CELLS, BRIGHT = 24, 0.75
"""The content's brightness: of the maxima of a grid of so many cells along a side, the one above this fraction."""
