"""Whether a paired data set is what its manifest says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from degrade.pairs import manifest
from degrade.pairs.dataset import read_recipe, written_as
from degrade.pairs.errors import PairsError
from degrade.pairs.layout import FOLDERS, MANIFEST, RECIPE, Layout, stays_inside
from degrade.pairs.storage import Checker
from degrade.pairs.tar import TRAILER
from degrade.text import TextError


@dataclass
class Report:
    """What `verify` found: lines looked at, what is wrong by file or line, files that no line names."""

    lines: int = 0
    problems: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)


def verify(root: Path, tick: Callable[[], object] = lambda: None) -> Report:
    """Compare every file of a paired data set with the size and the checksum that the manifest has of it.

    Args:
        root: the folder that `synthesize` wrote, as files or as shards.
        tick: called after each line.

    Raises:
        PairsError: the folder is no finished data set, or one of a version that wrote no checksums.
        OSError: the manifest cannot be read.
    """
    made = read_recipe(root)
    if made is None:
        raise PairsError("DEST", f"{str(root)!r} is no data set of 'degrade synth' ({RECIPE} is not one's)")
    if not (root / MANIFEST).exists():
        raise PairsError("DEST", f"{str(root)!r} has no {MANIFEST}: its run has not ended; --resume continues it")
    layout = Layout(root, str(made["synth"].get("format", "png")))
    report, checker = Report(), Checker(layout)
    known: set[Path] = set()
    ends: dict[Path, int] = {}
    for number, line in _lines(root / MANIFEST, report):
        report.lines += 1
        if not stays_inside(line.id) or (line.shard is not None and not stays_inside(line.shard.name)):
            report.problems.append(f"line {number}: the id {line.id!r} lies outside the data set")
            continue
        if not line.files:
            raise PairsError("DEST", f"{str(root)!r} was made by version 0.1, which wrote no checksums")
        if line.shard is None:
            known.update(layout.files(line.id, line.view).values())
        else:
            path = layout.shard(line.shard.name)
            ends[path] = max(ends.get(path, 0), line.shard.start + line.shard.bytes)
        if problem := checker.damage(line):
            report.problems.append(problem)
        tick()
    report.problems += _ends(root, ends)
    known.update(ends)
    report.strays = [path.relative_to(root).as_posix() for path in _files(root, written_as(made)) if path not in known]
    return report


def _lines(path: Path, report: Report) -> Iterator[tuple[int, manifest.Line]]:
    for _, number, raw in manifest.lines_of(path):
        try:
            yield number, manifest.parse(raw)
        except TextError as error:
            report.problems.append(f"{path.name}, line {number}: {error}")


def _ends(root: Path, ends: dict[Path, int]) -> Iterator[str]:
    """What is wrong after the last image of each shard, given where that ends."""
    for path, end in ends.items():
        if path.is_file() and end <= path.stat().st_size < 2**63:
            with open(path, "rb") as file:
                file.seek(end)
                rest = file.read(len(TRAILER) + 1)
            if rest != TRAILER:
                yield f"{path.relative_to(root).as_posix()}: its end is not that of a shard"


def _files(root: Path, writer: str) -> Iterator[Path]:
    for name in FOLDERS[writer]:
        yield from sorted(path for path in (root / name).rglob("*") if path.is_file())
