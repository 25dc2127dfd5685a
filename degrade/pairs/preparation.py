"""Prepare photographs: crop a source to its fields of view, write squares to a folder, and put results back."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from degrade import fov
from degrade.files import locked, remove_unfinished, write_bytes
from degrade.images import image_io
from degrade.images.maps import full_scale
from degrade.ops.constants import SMALLEST_SIDE
from degrade.pairs.errors import PairsError
from degrade.pairs.geometry import GEOMETRY, Geometry, line_of, read_geometry
from degrade.pairs.layout import stays_inside
from degrade.pairs.making import FAILURES, reason
from degrade.pairs.processes import cores
from degrade.stream.opening import SourceLike, open_source
from degrade.stream.source import Sample, Source, plane

IMAGES, MASKS = "images", "masks"
"""Names of the folders of the squares and of their masks."""

_Done = TypeVar("_Done")


@dataclass
class Outcome:
    """What was written, what was there already, and what failed: name in the source and reason each."""

    written: int = 0
    present: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)


def prepare(
    source: SourceLike,
    dest: str | os.PathLike[str],
    *,
    size: int | None = 512,
    overwrite: bool = False,
    limit: int | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Outcome:
    """Crop photographs to the square around their field of view (see `degrade.fov.crop`) and write them to a folder.

    It gets images/ID.png, masks/ID.png (255 inside the field of view) and prepared.jsonl, a line of geometry for each.
    Bit depth stays. Images that the folder has already are passed over, so that a run that was stopped goes on;
    every file is whole. Images that cannot be used are reported in `failures`.

    Args:
        source: whatever `open_source` takes; its map "mask" is the field of view, which is else estimated.
        dest: the folder.
        size: side of the squares, pixels; None leaves the size of each.
        overwrite: make all images again.
        limit: only the first ones.
        workers: threads; None takes one per core, at least 2.
        progress: called after each image with how many are done, and how many there are.

    Raises:
        PairsError: the folder was prepared with another size.
        SourceError: a source that does not exist or holds no images.
        LockedError, OSError: the folder is in use, or cannot be written to.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> prepare("phantom:fundus?count=2&size=96", folder, size=64).written
    2
    >>> read_geometry(folder)["fundus_0001"].size, open_source(f"{folder}/images").load(0)["image"].shape
    (64, torch.Size([3, 64, 64]))
    """
    root, found = Path(dest), open_source(source)
    if size is not None and size < SMALLEST_SIDE:
        raise PairsError("size", f"size = {size}: at least {SMALLEST_SIDE}, or None")
    count = len(found) if limit is None else min(limit, len(found))
    outcome, order = Outcome(), list(found.ids[:count])
    with locked(root):
        lines = _resumed(root, size, overwrite)
        remove_unfinished(root)
        remove = (IMAGES, MASKS)

        def work(index: int) -> Geometry | None:
            id_ = found.ids[index]
            if id_ in lines and all((root / folder / f"{id_}.png").is_file() for folder in remove):
                return None
            return _one(found, index, root, size)

        with open(root / GEOMETRY, "ab") as log:
            for made in _each(work, found, count, workers, outcome, progress):
                outcome.present += made is None
                outcome.written += made is not None
                if made is not None:
                    lines[made.id] = made
                    log.write(line_of(made))
                    log.flush()
        known = dict.fromkeys(order) | dict.fromkeys(lines)
        write_bytes(root / GEOMETRY, b"".join(line_of(lines[id_]) for id_ in known if id_ in lines))
    return outcome


def undo(
    results: SourceLike,
    prepared: str | os.PathLike[str],
    dest: str | os.PathLike[str],
    *,
    originals: SourceLike | None = None,
    overwrite: bool = False,
    workers: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Outcome:
    """Put squares, such as enhanced ones, back into full pictures of the size of the photographs: dest/ID.png.

    Args:
        results: squares with the ids of those in the folder `prepared`.
        prepared: the folder that `prepare` wrote.
        dest: folder of the pictures. Those it has already are passed over.
        originals: the photographs, by the same ids: outside the field of view their pixels stay to the bit. Without
            them that is black.
        overwrite: make all pictures again.
        workers, progress: as of `prepare`.

    Raises:
        PairsError: the folder `prepared` is none, or no result has the id of an image in it.
        SourceError: a source that does not exist or holds no images.
        LockedError, OSError: the folder is in use, or cannot be written to.
    """
    root, found, geometry = Path(dest), open_source(results), read_geometry(prepared)
    if not geometry.keys() & set(found.ids):
        raise PairsError(
            "prepared", f"{os.fspath(prepared)!r} has no image of the name of one in {found.title}, {found.ids[0]!r}"
        )
    photographs = None if originals is None else open_source(originals)
    places = {} if photographs is None else {id_: place for place, id_ in enumerate(photographs.ids)}
    outcome = Outcome()

    def work(index: int) -> bool:
        id_ = found.ids[index]
        if not overwrite and stays_inside(id_) and (root / f"{id_}.png").is_file():
            return False
        if id_ not in geometry:
            raise ValueError(f"{os.fspath(prepared)!r} has no line with the id {id_!r}")
        onto = None
        if photographs is not None:
            if id_ not in places:
                raise ValueError(f"{photographs.title} has no photograph with the id {id_!r}")
            onto = _loaded(photographs, places[id_])["image"]
        mask = Path(prepared) / MASKS / f"{id_}.png"
        picture = _back(_loaded(found, index)["image"], geometry[id_], image_io.read(mask), onto)
        _write(root / f"{id_}.png", picture)
        return True

    with locked(root):
        for made in _each(work, found, len(found), workers, outcome, progress):
            outcome.written += made
            outcome.present += not made
    return outcome


def _one(source: Source, index: int, root: Path, size: int | None) -> Geometry:
    """Prepare one image and write its files."""
    id_, sample = source.ids[index], _loaded(source, index)
    if not stays_inside(id_):
        raise ValueError(f"its id {id_!r} lies outside the folder")
    image = image_io.to_float(sample["image"])[None]
    bits = 16 if sample["image"].dtype == torch.uint16 else 8
    if min(image.shape[-2:]) < SMALLEST_SIDE:
        raise ValueError(f"{image.shape[-1]} x {image.shape[-2]} pixels: at least {SMALLEST_SIDE} on each side")
    if "mask" in sample:
        mask = image_io.to_float(full_scale(plane(sample["mask"], "mask"), "mask"))[None]
    else:
        mask = fov.estimate(image)
    square, inside, where = fov.crop(image, mask, size)
    for folder, made in ((IMAGES, image_io.to_integer(square[0], bits)), (MASKS, image_io.to_integer(inside[0]))):
        _write(root / folder / f"{id_}.png", made)
    top, left, height, width = where.boxes[0].tolist()
    box = (top, left, height, width)
    return Geometry(id_, source.origin(index), where.height, where.width, box, square.shape[-1])


def _loaded(source: Source, index: int) -> Sample:
    """An image and its maps; a file that cannot be read is a failure of this image."""
    try:
        return source.load(index)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from None


def _write(path: Path, image: Tensor) -> None:
    try:
        image_io.write(path, image)
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.EILSEQ):
            raise
        raise ValueError("its name is too long, or has characters that this file system cannot hold") from None


def _back(result: Tensor, geometry: Geometry, mask: Tensor, onto: Tensor | None) -> Tensor:
    """The full picture of a result, integers (C, S, S)."""
    if tuple(result.shape[-2:]) != (geometry.size, geometry.size):
        found = f"{result.shape[-1]} x {result.shape[-2]}"
        raise ValueError(f"it is {found} pixels, its square was {geometry.size} x {geometry.size}")
    if onto is not None and tuple(onto.shape[-2:]) != (geometry.height, geometry.width):
        found = f"{onto.shape[-1]} x {onto.shape[-2]}"
        raise ValueError(f"its photograph is {found} pixels, not {geometry.width} x {geometry.height} as when prepared")
    deep = torch.uint16 in (result.dtype, None if onto is None else onto.dtype)
    where = geometry.crop()
    full = fov.uncrop(image_io.to_float(result)[None], where)[0]
    picture = image_io.to_integer(full, 16 if deep else 8)
    if onto is None:
        return picture
    inside = fov.uncrop(image_io.to_float(mask)[None, :1], where)[0] > 0.5
    kept = onto if (onto.dtype == torch.uint16) == deep else image_io.to_integer(image_io.to_float(onto), 16)
    channels = max(len(kept), len(picture))
    mixed = torch.where(inside, picture.expand(channels, -1, -1).int(), kept.expand(channels, -1, -1).int())
    return mixed.to(picture.dtype)


def _resumed(root: Path, size: int | None, overwrite: bool) -> dict[str, Geometry]:
    """The lines of an earlier run; a last line that a killed process has torn is deleted."""
    path = root / GEOMETRY
    if not path.exists() or overwrite:
        path.unlink(missing_ok=True)
        return {}
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        write_bytes(path, data[: data.rfind(b"\n") + 1])
    lines = read_geometry(root)
    for one in lines.values():
        wanted = max(one.box[2:]) if size is None else size
        if one.size != wanted:
            raise PairsError(
                "size", f"size = {size}: {str(root)!r} was prepared with {one.size}; overwrite makes all of it again"
            )
    return lines


def _each(
    work: Callable[[int], _Done],
    found: Source,
    count: int,
    workers: int | None,
    outcome: Outcome,
    progress: Callable[[int, int], object] | None,
) -> Iterator[_Done]:
    """What work(0), work(1), ... return, in order; images that failed are noted in `outcome` instead."""
    for index, result in _in_threads(work, count, workers):
        try:
            made = result.result()
        except torch.OutOfMemoryError:
            raise
        except FAILURES as error:
            outcome.failures.append((found.origin(index), reason(error)))
        else:
            yield made
        if progress is not None:
            progress(index + 1, count)


def _in_threads(work: Callable[[int], _Done], count: int, workers: int | None) -> Iterator[tuple[int, Future[_Done]]]:
    """Call a function for 0, 1, ..., in threads; the results in order, few of them at a time."""
    threads = max(2, cores()) if workers is None else workers
    pending: deque[tuple[int, Future[_Done]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for index in range(count):
                pending.append((index, pool.submit(work, index)))
                while len(pending) > 2 * threads:
                    yield _ended(pending)
            while pending:
                yield _ended(pending)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _ended(pending: deque[tuple[int, Future[_Done]]]) -> tuple[int, Future[_Done]]:
    index, future = pending.popleft()
    future.exception()  # waits
    return index, future
