"""Procedural pictures with known masks: the data of first runs, tests and documentation, made from keys alone."""

from degrade.phantom.retina import fundus

__all__ = ["fundus"]
