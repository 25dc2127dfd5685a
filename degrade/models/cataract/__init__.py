"""Cataract: a clouded lens as blur plus a bright veil."""

from degrade.models.cataract.model import Cataract, veil_map

__all__ = ["Cataract", "veil_map"]
