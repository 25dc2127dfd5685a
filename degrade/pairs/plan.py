"""How a run does its work, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from degrade.pairs.items import Item


@dataclass(frozen=True)
class Plan:
    """How the work is done; none of it changes a byte of the result.

    Attributes:
        device: on which images are degraded.
        batch_size: images of one shape that a GPU degrades at once; a CPU degrades one at a time.
        workers: threads that decode, encode and, on a CPU, degrade.
    """

    device: torch.device
    batch_size: int
    workers: int


@dataclass
class Outcome:
    """What a run did.

    Attributes:
        claimed: images of the source.
        written: images whose pairs were made.
        present: images whose pairs were there already, and whole.
        pairs: lines of the manifest in the end.
        failures: images that failed, with the reason.
        decoding, degrading, writing: seconds of all threads.
    """

    claimed: int = 0
    written: int = 0
    present: int = 0
    pairs: int = 0
    failures: list[tuple[Item, str]] = field(default_factory=list)
    decoding: float = 0.0
    degrading: float = 0.0
    writing: float = 0.0

    def __iadd__(self, other: Outcome) -> Outcome:
        self.written += other.written
        self.present += other.present
        self.failures += other.failures
        self.decoding += other.decoding
        self.degrading += other.degrading
        self.writing += other.writing
        return self

    def shares(self) -> str:
        """The time of all threads, as parts of their sum."""
        parts = {"decoding": self.decoding, "degrading": self.degrading, "encoding and writing": self.writing}
        total = sum(parts.values()) or 1.0
        return ", ".join(f"{name} {100 * seconds / total:.0f} %" for name, seconds in parts.items())
