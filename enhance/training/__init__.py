"""Training: the loop (`train`), its options, checkpoints, log, processes, and how signals stop it."""

from enhance.training.interruption import GOES_ON, Stopped
from enhance.training.loop import train
from enhance.training.options import Options

__all__ = ["GOES_ON", "Options", "Stopped", "train"]
