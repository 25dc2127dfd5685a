"""From images to the files of a data set: decoding ahead and encoding behind on threads."""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import BinaryIO

import torch
from torch import Tensor

from degrade.base import SMALLEST_SIDE
from degrade.files import write_bytes
from degrade.images import image_io
from degrade.pairs import checksums, manifest
from degrade.pairs.dataset import DataSet
from degrade.pairs.errors import PairsError
from degrade.pairs.items import Item
from degrade.pairs.views import View, degrade_batch, degrade_one

FAILURES = (image_io.ImageError, ValueError, RuntimeError, MemoryError, LookupError, TypeError)
"""What one image can do to us; anything else (a full disk, say) ends the run."""


@dataclass(frozen=True)
class Plan:
    """How the work is done; none of it changes a byte of the result.

    Attributes:
        device: where images are degraded.
        batch_size: images of one shape that a GPU works on at once; a CPU takes one at a time.
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


@dataclass
class _Decoded:
    """An image as the data set has it, and the checksum of the source's pixels; no image where all is there."""

    image: Tensor | None
    pixels: str
    seconds: float


@dataclass
class _Done:
    """The lines of an image whose files are in place, none where they were there already; and the seconds it took."""

    lines: list[str]
    decoding: float = 0.0
    degrading: float = 0.0
    writing: float = 0.0


def make_pairs(
    dataset: DataSet,
    items: Iterable[Item],
    plan: Plan,
    lines: manifest.Index,
    part: BinaryIO,
    tick: Callable[[], object],
) -> Outcome:
    """Make and write the pairs of `items`; a line per pair goes to `part` once its files are in place.

    Args:
        lines: of what is there already; where files and source are as they say, nothing is made.
        tick: called after each item, failed or not.

    On an exception the work that has begun is finished first.
    """
    outcome = Outcome()
    behind: deque[tuple[Item, Future[_Done]]] = deque()

    def finish() -> None:
        item, future = behind.popleft()
        try:
            done = future.result()
        except torch.OutOfMemoryError:  # not the image's fault
            raise
        except PairsError:
            raise
        except FAILURES as error:
            outcome.failures.append((item, reason(error)))
        else:
            _append(part, done.lines)
            outcome.written += bool(done.lines)
            outcome.present += not done.lines
            outcome.decoding += done.decoding
            outcome.degrading += done.degrading
            outcome.writing += done.writing
        tick()

    with ThreadPoolExecutor(plan.workers) as pool:
        jobs = _on_cpu if plan.device.type == "cpu" else _on_gpu
        try:
            for item, future in jobs(dataset, items, plan, lines, pool):
                behind.append((item, future))
                while len(behind) > 2 * plan.workers:
                    finish()
            while behind:
                finish()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return outcome


def reason(error: BaseException) -> str:
    """An error as one line; its type too where the message alone ("320") says nothing."""
    text = " ".join(str(error).split())
    told = isinstance(error, ValueError | RuntimeError) and " " in text
    return text if told else f"{type(error).__name__}: {text}".rstrip(": ")


def _append(part: BinaryIO, lines: list[str]) -> None:
    if os.fstat(part.fileno()).st_nlink == 0:
        raise PairsError("DEST", "it was deleted or replaced while this run was writing to it")
    part.write("".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
    part.flush()


Jobs = Iterator[tuple[Item, "Future[_Done]"]]


def _on_cpu(
    dataset: DataSet, items: Iterable[Item], plan: Plan, lines: manifest.Index, pool: ThreadPoolExecutor
) -> Jobs:
    """A job for each image, from its file to its files."""

    def work(item: Item) -> _Done:
        decoded = _decode(dataset, item, lines)
        if decoded.image is None:
            return _Done([], decoding=decoded.seconds)
        return _write(dataset, item, decoded, degrade_one(dataset.recipe, decoded.image, dataset.keys(item.id)))

    for item in items:
        yield item, pool.submit(work, item)


def _on_gpu(
    dataset: DataSet, items: Iterable[Item], plan: Plan, lines: manifest.Index, pool: ThreadPoolExecutor
) -> Jobs:
    """Images are decoded ahead by the pool, degraded here in batches of one shape, and written by the pool."""
    group: list[tuple[Item, _Decoded, Tensor]] = []

    def flush() -> Jobs:
        if not group:
            return
        start = time.perf_counter()
        keys = torch.tensor([dataset.keys(item.id) for item, _, _ in group])
        try:
            made = degrade_batch(dataset.recipe, torch.stack([image for _, _, image in group]), keys, plan.device)
        except torch.OutOfMemoryError:
            raise
        except FAILURES as error:
            for item, _, _ in group:
                yield item, _failed(error)
        else:
            share = (time.perf_counter() - start) / len(group)
            for (item, decoded, _), views in zip(group, made, strict=True):
                yield item, pool.submit(_write, dataset, item, decoded, views, share)
        group.clear()

    for item, future in _ahead(dataset, items, plan, lines, pool):
        try:
            decoded = future.result()
        except FAILURES as error:
            yield item, _failed(error)
            continue
        image = decoded.image
        if image is None:
            yield item, _finished(_Done([], decoding=decoded.seconds))
            continue
        if group and (image.shape, image.dtype) != (group[0][2].shape, group[0][2].dtype):
            yield from flush()
        group.append((item, decoded, image))
        if len(group) == plan.batch_size:
            yield from flush()
    yield from flush()


def _ahead(
    dataset: DataSet, items: Iterable[Item], plan: Plan, lines: manifest.Index, pool: ThreadPoolExecutor
) -> Iterator[tuple[Item, Future[_Decoded]]]:
    ahead: deque[tuple[Item, Future[_Decoded]]] = deque()
    todo = iter(items)
    while True:
        while len(ahead) < plan.workers + plan.batch_size and (item := next(todo, None)) is not None:
            ahead.append((item, pool.submit(_decode, dataset, item, lines)))
        if not ahead:
            return
        yield ahead.popleft()


def _failed(error: BaseException) -> Future[_Done]:
    future: Future[_Done] = Future()
    future.set_exception(error)
    return future


def _finished(done: _Done) -> Future[_Done]:
    future: Future[_Done] = Future()
    future.set_result(done)
    return future


def _decode(dataset: DataSet, item: Item, lines: manifest.Index) -> _Decoded:
    start = time.perf_counter()
    settings = dataset.settings
    image = item.load()
    if image.is_floating_point():
        image = image_io.to_integer(image)
    pixels = checksums.of_pixels(image)
    places = manifest.matching(lines, item.id, item.source, dataset.keys(item.id))
    if places and dataset.is_intact(places, pixels):
        return _Decoded(None, pixels, time.perf_counter() - start)
    given = 16 if image.dtype == torch.uint16 else 8
    bits = settings.bits or given
    if settings.size or bits != given:
        exact = image_io.to_float(image)
        image = image_io.to_integer(image_io.resize(exact, settings.size) if settings.size else exact, bits)
    channels, height, width = image.shape
    if min(height, width) < SMALLEST_SIDE:
        raise ValueError(
            f"{width} x {height} pixels: at least {SMALLEST_SIDE} x {SMALLEST_SIDE} are needed (see --size)"
        )
    if channels not in dataset.recipe.channels:
        raise ValueError(f"{channels} channels: recipe {dataset.recipe.name} takes {dataset.recipe.channels}")
    return _Decoded(image, pixels, time.perf_counter() - start)


def _write(dataset: DataSet, item: Item, decoded: _Decoded, views: Iterator[View], degrading: float = 0.0) -> _Done:
    """Write an image's files, all encoded before the first is written; its lines for the manifest.

    Views are made as they are encoded, so that there is one at a time.
    """
    start = time.perf_counter()
    layout, deep = dataset.layout, dataset.layout.format == "png"
    assert decoded.image is not None
    clean = image_io.encode(decoded.image, ".png")
    decoded.image = None  # see `degrade_one`
    lines, files = [], {layout.clean(item.id): clean}
    mask = b""
    for number, (key, view) in enumerate(zip(dataset.keys(item.id), views, strict=True)):
        mask = mask or image_io.encode(view.mask, ".png")
        image = view.degraded if deep or view.degraded.dtype == torch.uint8 else _to_eight_bits(view.degraded)
        path = layout.degraded(item.id, number)
        files[path] = image_io.encode(image, path.suffix)
        degrading += view.seconds
        contents = {"clean": clean, "mask": mask, "degraded": files[path]}
        records = {name: manifest.FileRecord(len(data), checksums.of_bytes(data)) for name, data in contents.items()}
        parameters = manifest.pack(view.record)
        line = manifest.Line(item.id, number, item.source, str(key), parameters, decoded.pixels, records)
        lines.append(line.encode())
    files[layout.mask(item.id)] = mask
    try:
        for path, data in files.items():
            write_bytes(path, data)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ValueError("its name is too long for this file system") from None
        if error.errno == errno.EILSEQ:
            raise ValueError("its name has characters that this file system cannot hold") from None
        raise
    except UnicodeEncodeError:
        raise ValueError("its name has characters that this system's file names cannot hold") from None
    writing = time.perf_counter() - start
    return _Done(lines, decoded.seconds, degrading, max(writing - degrading, 0.0))


def _to_eight_bits(image: Tensor) -> Tensor:
    return image_io.to_integer(image_io.to_float(image))
