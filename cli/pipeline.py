"""From items to files: decoding ahead and encoding behind on threads; a GPU's batches are degraded in between."""

from __future__ import annotations

import errno
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import BinaryIO

import torch
from torch import Tensor

import degrade
from cli import manifest
from cli.dataset import DataSet
from cli.sources import Item
from degrade import image_io
from degrade.base import SMALLEST_SIDE
from degrade.records import Record, to_record

_FAILURES = (image_io.ImageError, ValueError, RuntimeError, MemoryError)
"""What one image can do to us; anything else (a full disk, say) ends the run."""


@dataclass
class Outcome:
    """What a run did: images written, images that failed with the reason, seconds spent in each kind of work."""

    written: int = 0
    failures: list[tuple[Item, str]] = field(default_factory=list)
    decoding: float = 0.0
    degrading: float = 0.0
    writing: float = 0.0

    def __iadd__(self, other: Outcome) -> Outcome:
        self.written += other.written
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


@dataclass(frozen=True)
class Plan:
    """How the work is done; none of it changes a byte of the result."""

    device: torch.device
    batch_size: int
    workers: int


@dataclass(frozen=True)
class Pair:
    """An image and what becomes of it: integers (C, H, W), (1, H, W) and (K, C, H, W), and a record per view."""

    item: Item
    clean: Tensor
    mask: Tensor
    degraded: Tensor
    records: list[Record]


@dataclass(frozen=True)
class _Done:
    """The lines of an image whose files are in place, and the seconds that it took."""

    lines: list[str]
    writing: float
    degrading: float = 0.0


def synthesise(
    dataset: DataSet, items: Iterable[Item], plan: Plan, part: BinaryIO, tick: Callable[[], object]
) -> Outcome:
    """Makes and writes the pairs of `items`; a line per pair goes to `part` once its files are in place.

    `tick` is called after each item, failed or not. On an exception the work that has begun is finished first.
    """
    outcome = Outcome()
    behind: deque[tuple[Item, Future[_Done]]] = deque()

    def finish() -> None:
        item, future = behind.popleft()
        try:
            done = future.result()
        except _FAILURES as error:
            outcome.failures.append((item, _reason(error)))
        else:
            part.write("".join(f"{line}\n" for line in done.lines).encode())
            part.flush()
            outcome.written += 1
            outcome.degrading += done.degrading
            outcome.writing += done.writing
        tick()

    with ThreadPoolExecutor(plan.workers) as pool:
        try:
            for group in _groups(_decoded(dataset, items, plan, pool, outcome, tick), plan):
                if plan.device.type == "cpu":
                    behind.append((group[0][0], pool.submit(_degrade_and_write, dataset, group, plan.device)))
                else:
                    for pair in _attempt(dataset, group, plan.device, outcome, tick):
                        behind.append((pair.item, pool.submit(_write, dataset, pair)))
                while len(behind) > 2 * plan.workers:
                    finish()
            while behind:
                finish()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return outcome


def degrade_images(
    recipe: degrade.Degradation, images: Tensor, keys: Tensor, device: torch.device
) -> tuple[Tensor, Tensor, list[list[Record]]]:
    """Degrades integer images (B, C, H, W) with keys (B, K).

    Returns:
        their masks, uint8 (B, 1, H, W); the views, (B, K, C, H, W) of the images' type; a record for each.
    """
    batch, views = keys.shape
    image = image_io.to_float(images.to(device))
    mask = recipe.field_of_view(image)
    parameters = recipe.draw(keys.flatten(), *image.shape[-2:])
    records = [to_record(parameters, index) for index in range(batch * views)]
    of = torch.arange(batch).repeat_interleave(views)
    step = 1 if device.type == "cpu" else len(of)  # a CPU gains nothing from batches, and they need the memory
    made = []
    for start in range(0, len(of), step):
        rows = slice(start, start + step)
        some = {name: value[rows] for name, value in parameters.items()}
        degraded = recipe.apply(image[of[rows]], some, mask[of[rows]])
        made.append(image_io.to_integer(degraded, 16 if images.dtype == torch.uint16 else 8).cpu())
    degraded = torch.cat(made).view(batch, views, *images.shape[1:])
    return image_io.to_integer(mask).cpu(), degraded, [records[i * views : (i + 1) * views] for i in range(batch)]


def _decoded(
    dataset: DataSet,
    items: Iterable[Item],
    plan: Plan,
    pool: ThreadPoolExecutor,
    outcome: Outcome,
    tick: Callable[[], object],
) -> Iterator[tuple[Item, Tensor]]:
    """The images of the items in order, decoded a little ahead; the ones that cannot be go to the outcome."""
    ahead: deque[tuple[Item, Future[tuple[Tensor, float]]]] = deque()
    todo = iter(items)
    most = plan.workers + (1 if plan.device.type == "cpu" else plan.batch_size)
    while True:
        while len(ahead) < most and (item := next(todo, None)) is not None:
            ahead.append((item, pool.submit(_decode, item, dataset)))
        if not ahead:
            return
        item, decoded = ahead.popleft()
        try:
            image, seconds = decoded.result()
        except _FAILURES as error:
            outcome.failures.append((item, _reason(error)))
            tick()
            continue
        outcome.decoding += seconds
        yield item, image


def _groups(decoded: Iterator[tuple[Item, Tensor]], plan: Plan) -> Iterator[list[tuple[Item, Tensor]]]:
    """Neighbours of one shape and type, at most a batch of them; on a CPU one image at a time."""
    most = 1 if plan.device.type == "cpu" else plan.batch_size
    group: list[tuple[Item, Tensor]] = []
    for item, image in decoded:
        if group and (image.shape, image.dtype) != (group[0][1].shape, group[0][1].dtype):
            yield group
            group = []
        group.append((item, image))
        if len(group) == most:
            yield group
            group = []
    if group:
        yield group


def _decode(item: Item, dataset: DataSet) -> tuple[Tensor, float]:
    start = time.perf_counter()
    image = item.load()
    given = 16 if image.dtype == torch.uint16 else 8
    bits = dataset.bits or given
    if dataset.size or bits != given:
        exact = image_io.to_float(image)
        image = image_io.to_integer(image_io.resize(exact, dataset.size) if dataset.size else exact, bits)
    channels, height, width = image.shape
    if min(height, width) < SMALLEST_SIDE:
        raise ValueError(
            f"{width} x {height} pixels: at least {SMALLEST_SIDE} x {SMALLEST_SIDE} are needed (see --size)"
        )
    if channels not in dataset.recipe.channels:
        raise ValueError(f"{channels} channels: recipe {dataset.recipe.name} takes {dataset.recipe.channels}")
    return image, time.perf_counter() - start


def _attempt(
    dataset: DataSet,
    group: list[tuple[Item, Tensor]],
    device: torch.device,
    outcome: Outcome,
    tick: Callable[[], object],
) -> list[Pair]:
    """The pairs of a group on a GPU; none, and a failure for each of its images, if they cannot be made."""
    start = time.perf_counter()
    try:
        pairs = _degrade(dataset, group, device)
    except torch.OutOfMemoryError:  # not the images' fault
        raise
    except _FAILURES as error:
        outcome.failures += [(item, _reason(error)) for item, _ in group]
        for _ in group:
            tick()
        return []
    outcome.degrading += time.perf_counter() - start
    return pairs


def _degrade(dataset: DataSet, group: list[tuple[Item, Tensor]], device: torch.device) -> list[Pair]:
    items = [item for item, _ in group]
    keys = torch.tensor([dataset.keys(item.id) for item in items])
    images = torch.stack([image for _, image in group])
    masks, degraded, records = degrade_images(dataset.recipe, images, keys, device)
    return [Pair(*parts) for parts in zip(items, images, masks, degraded, records, strict=True)]


def _degrade_and_write(dataset: DataSet, group: list[tuple[Item, Tensor]], device: torch.device) -> _Done:
    start = time.perf_counter()
    (pair,) = _degrade(dataset, group, device)
    degrading = time.perf_counter() - start
    return replace(_write(dataset, pair), degrading=degrading)


def _write(dataset: DataSet, pair: Pair) -> _Done:
    """Writes an image's files, all encoded before the first is written; its lines for the manifest."""
    start = time.perf_counter()
    id_, degraded = pair.item.id, pair.degraded
    if degraded.dtype == torch.uint16 and dataset.format != "png":
        degraded = image_io.to_integer(image_io.to_float(degraded))
    files = {dataset.clean(id_): pair.clean, dataset.mask(id_): pair.mask}
    files |= {dataset.degraded(id_, view): image for view, image in enumerate(degraded)}
    encoded = {path: image_io.encode(image, path.suffix) for path, image in files.items()}
    try:
        for path, data in encoded.items():
            image_io.write_bytes(path, data)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ValueError("its name is too long for this file system") from None
        raise
    keys = dataset.keys(id_)
    lines = [
        manifest.line(id_, view, pair.item.source, key, record)
        for view, (key, record) in enumerate(zip(keys, pair.records, strict=True))
    ]
    return _Done(lines, writing=time.perf_counter() - start)


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
