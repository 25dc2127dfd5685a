"""The models: one folder each, with the definition (`reference`) and its compiled twins beside one another."""

from degrade.models.cataract import Cataract
from degrade.models.cornea import Cornea
from degrade.models.fundus import Fundus
from degrade.models.xray import PoissonGaussian

__all__ = ["Cataract", "Cornea", "Fundus", "PoissonGaussian"]
