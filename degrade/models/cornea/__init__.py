"""Corneal confocal microscopy: uneven illumination, blur, few photons."""

from degrade.models.cornea.model import Cornea, surface

__all__ = ["Cornea", "surface"]
