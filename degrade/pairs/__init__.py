"""Paired data sets of clean and degraded images, as files or shards: what `degrade synth` and `replay` do, for Python.

>>> import tempfile
>>> folder = tempfile.mkdtemp()
>>> outcome = synthesize("phantom:fundus?count=3&size=64", folder, "cofe-net", views=2, writer="shards")
>>> pair = PairedDataset(folder)[5]
>>> again = replay(f"{folder}/manifest.jsonl:{pair.id}:{pair.view}", pair.clean, pair.mask)
>>> bool((again - pair.degraded).abs().max() <= 0.5 / 255 + 1e-6)
True
"""

from degrade.pairs.errors import PairsError
from degrade.pairs.paired import Pair, PairedDataset
from degrade.pairs.plan import Outcome
from degrade.pairs.preparation import prepare, undo
from degrade.pairs.replay import replay
from degrade.pairs.synthesis import synthesize

__all__ = ["Outcome", "Pair", "PairedDataset", "PairsError", "prepare", "replay", "synthesize", "undo"]
