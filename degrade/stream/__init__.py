"""Streams: batches of pairs, sequences and unpaired images, made on the device from any source. Nothing is written."""

from degrade.stream.base import RepeatedEpochWarning
from degrade.stream.batch import Batch, Images, MixedBatch, UnpairedBatch
from degrade.stream.datasets import open_dataset
from degrade.stream.opening import SourceLike, open_source
from degrade.stream.options import StreamOptions
from degrade.stream.pairs import PairStream
from degrade.stream.pool import StreamError
from degrade.stream.source import Source, SourceError
from degrade.stream.unpaired import MixedStream, UnpairedStream

__all__ = [
    "Batch",
    "Images",
    "MixedBatch",
    "MixedStream",
    "PairStream",
    "RepeatedEpochWarning",
    "Source",
    "SourceError",
    "SourceLike",
    "StreamError",
    "StreamOptions",
    "UnpairedBatch",
    "UnpairedStream",
    "open_dataset",
    "open_source",
]
