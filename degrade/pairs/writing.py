"""Writers of paired data sets: what a sample is, and how it is written as files."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from dataclasses import dataclass

from degrade.files import write_bytes
from degrade.pairs import manifest
from degrade.pairs.layout import Layout


@dataclass
class Sample:
    """An image and its degraded views, encoded.

    Attributes:
        id: of the image.
        clean, mask: contents of their PNG files.
        degraded: contents of the files of the views, in order.
        lines: of the manifest, one per view.
    """

    id: str
    clean: bytes
    mask: bytes
    degraded: list[bytes]
    lines: list[manifest.Line]


@dataclass
class Staged:
    """A sample between `Writer.stage` and `Writer.commit`: its lines, and its part of a shard."""

    lines: list[manifest.Line]
    block: bytes = b""


class Writer(ABC):
    """Writes the samples of one process.

    `stage` is called in several threads, everything else in one, in the order of the images.
    """

    @abstractmethod
    def stage(self, sample: Sample) -> Staged:
        """Prepare a sample; ValueError where its name cannot be written."""

    def commit(self, staged: Staged) -> list[manifest.Line]:
        """Write what `stage` has not written; the lines for the manifest, of files that are on the disk."""
        return staged.lines

    def close(self) -> None:  # noqa: B027  (files need nothing)
        """End what this process writes, once all its samples are committed."""

    @abstractmethod
    def finish(self, items: manifest.Named, keys: manifest.Keys) -> int:
        """Write the manifest, in the first process, once all have closed; the number of its lines."""


class FileWriter(Writer):
    """Writes every image as a file.

    Args:
        layout: of the data set.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def stage(self, sample: Sample) -> Staged:
        layout = self._layout
        views = enumerate(sample.degraded)
        files = {layout.clean(sample.id): sample.clean}
        files |= {layout.degraded(sample.id, view): content for view, content in views}
        files[layout.mask(sample.id)] = sample.mask
        try:
            for path, content in files.items():
                write_bytes(path, content)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise ValueError("its name is too long for this file system") from None
            if error.errno == errno.EILSEQ:
                raise ValueError("its name has characters that this file system cannot hold") from None
            raise
        except UnicodeEncodeError:
            raise ValueError("its name has characters that this system's file names cannot hold") from None
        return Staged(sample.lines)

    def finish(self, items: manifest.Named, keys: manifest.Keys) -> int:
        found = manifest.in_order(self._layout.root, items, keys)
        return manifest.finish(self._layout.root, (line for lines in found for line in lines))
