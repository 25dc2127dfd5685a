"""Training: the one loop, its options, its updates, and how it is asked to stop."""

from enhance.training.interruption import GOES_ON, Stopped
from enhance.training.loop import train
from enhance.training.options import Options

__all__ = ["GOES_ON", "Options", "Stopped", "train"]
