"""Numbers that the definitions and their compiled twins share."""

REFERENCE_SIDE = 512
"""Side in pixels of the images that published constants in pixels are meant for."""

SMALLEST_SIDE = 32
"""Pixels that a side of an image, and of a frame, has at least."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma of ITU-R 601-2."""
