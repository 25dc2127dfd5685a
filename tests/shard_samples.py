"""One paired data set as shards and as files, for the tests of shards."""

from __future__ import annotations

from pathlib import Path

from tests.cli_runs import photograph, run

COUNT, VIEWS = 5, 2
SIZE = 80_000
OPTIONS = ["--views", VIEWS, "--writer", "shards", "--shard-size", SIZE]


def make_shard_pairs(root: Path) -> Path:
    """Write photographs with awkward names to `source`, and pairs of them to `shards` and `files`."""
    for number, name in enumerate(["a.2021.x", "left/b", "left/c%2E", "d" * 90 + "/" + "e" * 90, "früh"]):
        photograph(root / f"source/{name}.png", number)
    assert len(list((root / "source").rglob("*.png"))) == COUNT
    run("synth", root / "source", root / "shards", *OPTIONS)
    run("synth", root / "source", root / "files", "--views", VIEWS)
    return root


def tars(root: Path) -> list[Path]:
    """The shards of a data set, in order."""
    return sorted((root / "shards").glob("*.tar"))
