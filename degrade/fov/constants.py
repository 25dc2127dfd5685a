"""Constants of the field of view that the definition and its compiled twin share."""

SHRUNK = 160
"""The longest side of a photograph in blocks of pixels; the first look takes two by two of them."""

CLOSER = 192
"""The longest side of the field with its margins, in blocks, at the second look, if these get smaller by a third."""

MARGIN = 20
"""The margin around the field at the second look: one block, and the field's longer side over this."""

LEVELS = 4096
"""Levels of brightness at that size: sums of a row of them are exact in float32."""

DARK = 0.1
"""A border brighter than this (after averaging) is no surround."""

BAR = 0.004
"""Rows and columns no brighter than this, along the frame's sides, are black bars: no part of the photograph."""

SPECK = 0.12
"""Bright things in the surround that hold no square of this side (a fraction of the shorter one) are not field."""

AROUND = 3
"""The levels inside and outside of an edge are means over squares of this radius, in blocks."""

CELLS, BRIGHT = 24, 0.75
"""The content's brightness: of the maxima of a grid of so many cells along a side, the one above this fraction."""
