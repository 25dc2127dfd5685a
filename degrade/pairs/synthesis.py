"""synthesize: make a paired data set in a folder. Lock, checks, this process's share of the work, the manifest."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from degrade.base import Degradation
from degrade.files import LockedError, locked
from degrade.images.dicom import Window
from degrade.ops.constants import SMALLEST_SIDE
from degrade.pairs import manifest
from degrade.pairs.dataset import DataSet, Settings, window_text
from degrade.pairs.errors import PairsError
from degrade.pairs.items import Items
from degrade.pairs.layout import Layout
from degrade.pairs.making import Run, make_pairs
from degrade.pairs.plan import Outcome, Plan
from degrade.pairs.processes import Team, cores, team
from degrade.pairs.shards import SHARD_SIZE, SMALLEST_SHARD, ShardWriter
from degrade.pairs.writing import FileWriter, Writer
from degrade.recipes import recipe as open_recipe
from degrade.stream.numbers import whole
from degrade.stream.opening import SourceLike, open_source

WriterName = Literal["files", "shards"]
Format = Literal["png", "jpeg", "webp"]


def synthesize(
    source: SourceLike,
    dest: str | os.PathLike[str],
    recipe: Degradation | str | os.PathLike[str],
    *,
    views: int = 1,
    size: int | None = None,
    bits: Literal[8, 16] | None = None,
    seed: int = 0,
    format: Format = "png",
    writer: WriterName = "files",
    shard_size: int = SHARD_SIZE,
    window: Window | None = None,
    masks: bool = False,
    max_pixels: int = 100_000_000,
    limit: int | None = None,
    device: str | torch.device = "cpu",
    batch_size: int = 16,
    workers: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], object] | None = None,
    processes: Team | None = None,
) -> Outcome:
    """Make a data set of clean and degraded images in a folder, as `degrade synth` does.

    The bytes written depend on the source, the recipe and the arguments up to `max_pixels`, and on nothing else:
    neither on device, threads, processes nor interruptions (a GPU's rounding apart). Under torchrun every process calls
    this function and makes its share of the images.

    With `writer="files"` the folder holds clean/ID.png, mask/ID.png (255 inside the field of view) and
    degraded/ID_v0.png, degraded/ID_v1.png, ... With `writer="shards"` it holds shards/000000.tar and so on, WebDataset
    shards with the members ID.png, ID.mask.png, ID.degraded_v0.png, ... and ID.json (id, source, key and parameters of
    each view) of each image. Both have manifest.jsonl beside them, a line per degraded image with its key, its
    parameters and the checksums of its files, and recipe.toml. `PairedDataset` reads both back.

    Args:
        source: the clean images: whatever `degrade.stream.open_source` takes.
        dest: the folder, which must be new or empty unless `resume` or `overwrite` is given.
        recipe: a `Degradation`, or what `degrade.recipe` takes.
        views: degraded images of each image, at least 1.
        size: side of the square that images are fitted into, padded with black, pixels; None keeps their size.
        bits: of every channel of every image; None keeps those of the image (jpeg and webp have 8).
        seed: another seed gives other degradations.
        format: of the degraded images; jpeg and webp are written at quality 95.
        writer: "files" or "shards".
        shard_size: the largest shard, bytes, at least 2**14; an image that with its views needs more has a shard of its
            own. Shards put in order after a run of several processes, or after an interruption, need twice their space
            while that lasts.
        window: that DICOM files are read with, see `degrade.images.image_io.read`.
        masks: the source has a map "mask", the field of view of each image, which is used instead of the recipe's:
            see `degrade.stream.open_source`.
        max_pixels: images with more pixels fail.
        limit: only so many images, the first ones; None takes all.
        device: on which images are degraded.
        batch_size: images of one shape that a GPU degrades at once; a CPU degrades one at a time.
        workers: threads that decode, encode and, on a CPU, degrade; None takes the number of cores, at least 2.
        resume: go on with the run that was stopped in the folder. Every image that it has is decoded again and
            compared, and all its files with their checksums; what does not match is made again.
        overwrite: delete the data set in the folder first.
        progress: called after each image of this process with how many are done, and how many there are.
        processes: the processes that share the work; None takes those of torch.distributed or torchrun.

    Returns:
        what all processes did together, in the first one; in the others what they did. Images that could not be used
        are in `failures`, and in failed.jsonl.

    Raises:
        PairsError: an argument that is not allowed; a folder that cannot be used, or was deleted during the run.
        SourceError: a source that does not exist or holds no images.
        LockedError: another process is writing to the folder.
        OSError: it cannot be written to. What is written is whole: `resume=True` goes on.

    >>> import tempfile
    >>> from degrade.pairs import PairedDataset
    >>> folder = tempfile.mkdtemp()
    >>> outcome = synthesize("phantom:fundus?count=2&size=64", folder, "cofe-net", views=2, writer="shards")
    >>> outcome.pairs, sorted(os.listdir(folder))
    (4, ['manifest.jsonl', 'recipe.toml', 'shards'])
    >>> pair = PairedDataset(folder)[0]
    >>> pair.id, pair.view, pair.clean.shape, pair.degraded.shape
    ('fundus_0000', 0, torch.Size([3, 64, 64]), torch.Size([3, 64, 64]))
    """
    for name, value, allowed in (("writer", writer, get_args(WriterName)), ("format", format, get_args(Format))):
        _check(name, value, value in allowed, f"one of {', '.join(allowed)}")
    _check("bits", bits, bits in (None, 8, 16), "8, 16 or None")
    _check("resume, overwrite", (resume, overwrite), not (resume and overwrite), "one of them: both cannot be")
    settings = Settings(
        seed=_number("seed", seed),
        views=_number("views", views, 1),
        size=0 if size is None else _number("size", size, SMALLEST_SIDE),
        bits=bits or 0,
        format=format,
        window=window_text(window),
        writer=writer,
        shard_size=_number("shard_size", shard_size, SMALLEST_SHARD) if writer == "shards" else 0,
        masks=bool(masks),
    )
    threads = max(2, cores()) if workers is None else _number("workers", workers, 1)
    plan = Plan(torch.device(device), _number("batch_size", batch_size, 1), threads)
    found = open_source(source, window=window, max_pixels=max_pixels)
    items = Items(found, None if limit is None else _number("limit", limit, 1))
    made_by = recipe if isinstance(recipe, Degradation) else open_recipe(recipe)
    dataset = DataSet(made_by, Layout(Path(dest), format), settings)
    with nullcontext(processes) if processes is not None else team() as us:
        return _run(dataset, items, plan, us, resume, overwrite, progress or (lambda done, total: None))


def _run(
    dataset: DataSet,
    items: Items,
    plan: Plan,
    us: Team,
    resume: bool,
    overwrite: bool,
    progress: Callable[[int, int], object],
) -> Outcome:
    dest = dataset.root
    lock = locked(dest) if us.first else nullcontext()
    with _agreed(lock, us):
        _agree(us, lambda: dataset.prepare(items, resume=resume, overwrite=overwrite))
        run = Run(dataset, plan, manifest.index(dest), _writer(dataset, us))
        share = range(us.rank, len(items), us.size)
        numbers = iter(range(1, len(share) + 1))
        with manifest.open_part(dest, us.rank) as part:
            progress(0, len(share))
            mine = items.share(us.rank, us.size)
            outcome = make_pairs(run, mine, part, lambda: progress(next(numbers), len(share)))
        outcomes = us.gather(outcome)
        if not us.first:
            return outcome
        total = Outcome(claimed=len(items))
        for done in outcomes:
            total += done
        total.failures.sort(key=lambda failure: failure[0].index)
        failed = {item.id for item, _ in total.failures}
        _check_there(dest)
        named = ((item.id, item.source) for item in items if item.id not in failed)
        total.pairs = run.writer.finish(named, dataset.keys)
        dataset.write_failures(total.failures)
        return total


def _writer(dataset: DataSet, us: Team) -> Writer:
    if dataset.settings.writer == "shards":
        return ShardWriter(dataset.layout, us.rank, dataset.settings.shard_size)
    return FileWriter(dataset.layout)


def _number(name: str, value: Any, least: int | None = None) -> int:
    try:
        return whole(name, value, least)
    except ValueError as error:
        raise PairsError(name, str(error)) from None


def _check(name: str, value: object, is_allowed: bool, allowed: str) -> None:
    if not is_allowed:
        raise PairsError(name, f"{name} = {value!r}: allowed is {allowed}")


def _check_there(dest: Path) -> None:
    if not dest.is_dir():
        raise PairsError("DEST", f"{str(dest)!r} was deleted while this run was writing to it")


class _agreed:
    """Enter a context in the first process; what that raises ends the others too."""

    def __init__(self, context: AbstractContextManager[Any], team: Team) -> None:
        self._context, self._team = context, team

    def __enter__(self) -> None:
        _agree(self._team, self._context.__enter__)

    def __exit__(self, *exception: Any) -> None:
        self._context.__exit__(*exception)


def _agree(team: Team, function: Callable[[], object]) -> None:
    """Call a function in the first process; what it raises, all processes raise."""
    problem: Exception | None = None
    if team.first:
        try:
            function()
        except (OSError, LockedError, ValueError) as error:
            problem = error
    refused = team.tell(str(problem) if problem is not None else None)
    if problem is not None:
        raise problem
    if refused is not None:
        raise PairsError("DEST", refused)
