"""From images to samples of a data set: decoding ahead and encoding behind on threads."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO

import torch
from torch import Tensor

from degrade.images import image_io
from degrade.images.maps import full_scale
from degrade.ops.constants import SMALLEST_SIDE
from degrade.pairs import checksums, manifest
from degrade.pairs.dataset import DataSet
from degrade.pairs.errors import PairsError
from degrade.pairs.items import Item
from degrade.pairs.plan import Outcome, Plan
from degrade.pairs.views import View, degrade_batch, degrade_one
from degrade.pairs.writing import Sample, Staged, Writer
from degrade.stream.source import plane
from degrade.version import __version__

FAILURES = (image_io.ImageError, ValueError, RuntimeError, MemoryError, LookupError, TypeError)
"""Errors that fail one image; any other, such as a full disk, ends the run."""


@dataclass(frozen=True)
class Run:
    """Arguments that all steps of making pairs share.

    Attributes:
        dataset: that the pairs belong to.
        plan: how the work is done.
        lines: of what is there already; where files and source are as they say, nothing is made.
        writer: of this process.
    """

    dataset: DataSet
    plan: Plan
    lines: manifest.Index
    writer: Writer


@dataclass
class _Decoded:
    """An image as the data set has it, and the checksum of the source's pixels; no image where all is there.

    `mask` is the field of view that the source has, float (1, H, W), if it is to be used.
    """

    image: Tensor | None
    pixels: str
    seconds: float
    mask: Tensor | None = None


@dataclass
class _Done:
    """A sample that is staged, None where all is there already; and the seconds it took."""

    staged: Staged | None
    decoding: float = 0.0
    degrading: float = 0.0
    writing: float = 0.0


def make_pairs(run: Run, items: Iterable[Item], part: BinaryIO, tick: Callable[[], object]) -> Outcome:
    """Make and write the pairs of `items`; a line per pair goes to `part` once its files are in place.

    Args:
        run: see there.
        items: the images.
        part: of the manifest, of this process.
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
            if done.staged is not None:
                _check_there(part)
                _append(part, [line.encode() for line in run.writer.commit(done.staged)])
            outcome.written += done.staged is not None
            outcome.present += done.staged is None
            outcome.decoding += done.decoding
            outcome.degrading += done.degrading
            outcome.writing += done.writing
        tick()

    plan = run.plan
    with ThreadPoolExecutor(plan.workers) as pool:
        jobs = _on_cpu if plan.device.type == "cpu" else _on_gpu
        try:
            for item, future in jobs(run, items, pool):
                behind.append((item, future))
                while len(behind) > 2 * plan.workers:
                    finish()
            while behind:
                finish()
            run.writer.close()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return outcome


def reason(error: BaseException) -> str:
    """An error as one line; its type too where the message alone ("320") says nothing."""
    text = " ".join(str(error).split())
    told = isinstance(error, ValueError | RuntimeError) and " " in text
    return text if told else f"{type(error).__name__}: {text}".rstrip(": ")


def _check_there(part: BinaryIO) -> None:
    if os.fstat(part.fileno()).st_nlink == 0:
        raise PairsError("DEST", "it was deleted or replaced while this run was writing to it")


def _append(part: BinaryIO, lines: list[str]) -> None:
    part.write("".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
    part.flush()


Jobs = Iterator[tuple[Item, "Future[_Done]"]]


def _on_cpu(run: Run, items: Iterable[Item], pool: ThreadPoolExecutor) -> Jobs:
    """A job for each image, from its file to its files."""

    def work(item: Item) -> _Done:
        decoded = _decode(run, item)
        if decoded.image is None:
            return _Done(None, decoding=decoded.seconds)
        views = degrade_one(run.dataset.recipe, decoded.image, run.dataset.keys(item.id), decoded.mask)
        return _write(run, item, decoded, views)

    for item in items:
        yield item, pool.submit(work, item)


def _on_gpu(run: Run, items: Iterable[Item], pool: ThreadPoolExecutor) -> Jobs:
    """Images are decoded ahead by the pool, degraded here in batches of one shape, and written by the pool."""
    dataset, plan = run.dataset, run.plan
    group: list[tuple[Item, _Decoded, Tensor]] = []

    def flush() -> Jobs:
        if not group:
            return
        start = time.perf_counter()
        keys = torch.tensor([dataset.keys(item.id) for item, _, _ in group])
        try:
            images = torch.stack([image for _, _, image in group])
            masks = [decoded.mask for _, decoded, _ in group if decoded.mask is not None]
            given = torch.stack(masks) if masks else None
            made = degrade_batch(dataset.recipe, images, keys, plan.device, given)
        except torch.OutOfMemoryError:
            raise
        except FAILURES as error:
            for item, _, _ in group:
                yield item, _failed(error)
        else:
            share = (time.perf_counter() - start) / len(group)
            for (item, decoded, _), views in zip(group, made, strict=True):
                yield item, pool.submit(_write, run, item, decoded, views, share)
        group.clear()

    for item, future in _ahead(run, items, pool):
        try:
            decoded = future.result()
        except FAILURES as error:
            yield item, _failed(error)
            continue
        image = decoded.image
        if image is None:
            yield item, _finished(_Done(None, decoding=decoded.seconds))
            continue
        if group and (image.shape, image.dtype) != (group[0][2].shape, group[0][2].dtype):
            yield from flush()
        group.append((item, decoded, image))
        if len(group) == plan.batch_size:
            yield from flush()
    yield from flush()


def _ahead(run: Run, items: Iterable[Item], pool: ThreadPoolExecutor) -> Iterator[tuple[Item, Future[_Decoded]]]:
    ahead: deque[tuple[Item, Future[_Decoded]]] = deque()
    todo = iter(items)
    while True:
        while len(ahead) < run.plan.workers + run.plan.batch_size and (item := next(todo, None)) is not None:
            ahead.append((item, pool.submit(_decode, run, item)))
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


def _decode(run: Run, item: Item) -> _Decoded:
    start = time.perf_counter()
    dataset, settings = run.dataset, run.dataset.settings
    sample = item.sample()
    image = sample["image"]
    if image.is_floating_point():
        image = image_io.to_integer(image)
    pixels = checksums.of_pixels(image)
    mask = _mask(sample, settings.size) if settings.masks else None
    places = manifest.matching(run.lines, item.id, item.source, dataset.keys(item.id))
    if places and dataset.is_intact(places, pixels) and (mask is None or dataset.has_mask(places[0], mask)):
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
    return _Decoded(image, pixels, time.perf_counter() - start, mask)


def _mask(sample: Mapping[str, Tensor], size: int) -> Tensor:
    """The field of view of a sample, float (1, H, W) of 0 and 1, at the size of the data set."""
    if "mask" not in sample:
        raise ValueError("the source has no map 'mask' for it")
    mask = image_io.to_float(full_scale(plane(sample["mask"], "mask"), "mask"))
    mask = image_io.resize(mask, size) if size else mask
    return (mask > 0.5).to(torch.float32)


def _write(run: Run, item: Item, decoded: _Decoded, views: Iterator[View], degrading: float = 0.0) -> _Done:
    """Encode an image and its views, and stage them: all are encoded before the first is written.

    Views are made as they are encoded, so that there is one at a time.
    """
    start = time.perf_counter()
    dataset, deep = run.dataset, run.dataset.layout.format == "png"
    assert decoded.image is not None
    sample = Sample(item.id, image_io.encode(decoded.image, ".png"), b"", [], [])
    decoded.image = None  # see `degrade_one`
    for number, (key, view) in enumerate(zip(dataset.keys(item.id), views, strict=True)):
        sample.mask = sample.mask or image_io.encode(view.mask, ".png")
        image = view.degraded if deep or view.degraded.dtype == torch.uint8 else _to_eight_bits(view.degraded)
        sample.degraded.append(image_io.encode(image, dataset.layout.suffix))
        degrading += view.seconds
        contents = {"clean": sample.clean, "mask": sample.mask, "degraded": sample.degraded[-1]}
        records = {name: manifest.FileRecord(len(data), checksums.of_bytes(data)) for name, data in contents.items()}
        parameters = manifest.pack(view.record)
        line = manifest.Line(
            item.id,
            number,
            item.source,
            str(key),
            parameters,
            decoded.pixels,
            records,
            version=__version__,
            backend=view.backend,
        )
        sample.lines.append(line)
    staged = run.writer.stage(sample)
    writing = time.perf_counter() - start
    return _Done(staged, decoded.seconds, degrading, max(writing - degrading, 0.0))


def _to_eight_bits(image: Tensor) -> Tensor:
    return image_io.to_integer(image_io.to_float(image))
