"""Realistic bad medical images from good ones: batched, differentiable, keyed, on any device."""

from degrade.keyed import make_keys

__all__ = ["make_keys"]
