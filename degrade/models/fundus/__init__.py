"""The Cofe-Net degradations of fundus photographs: light transmission, artifacts, blur."""

from degrade.models.fundus.model import Fundus

__all__ = ["Fundus"]
