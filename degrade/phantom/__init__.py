"""Procedural pictures with known masks: the data of first runs, tests and documentation, made from keys alone."""

from degrade.phantom.confocal import cornea
from degrade.phantom.retina import fundus
from degrade.phantom.thorax import chest

__all__ = ["chest", "cornea", "fundus"]
