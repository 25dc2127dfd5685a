"""The field of view of fundus photographs: the disk, or what a frame has left of one, on its dark surround."""

from degrade.fov.crop import Crop, crop, uncrop
from degrade.fov.reference import estimate

__all__ = ["Crop", "crop", "estimate", "uncrop"]
