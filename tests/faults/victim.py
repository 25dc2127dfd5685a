"""A process that is given malformed files one after the other, and says what became of each.

    python -m tests.faults.victim

reads [door, path] from standard input, a line of JSON each, and answers with one: whether the file was taken, refused
by an error that its door may raise, or brought the door down; and the largest memory that the process has had.
"""

from __future__ import annotations

import json
import resource
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

MAX_PIXELS = 1_000_000


def image(path: Path) -> None:
    from degrade.images import image_io

    image_io.read(path, max_pixels=MAX_PIXELS, window="file" if "window" in path.name else None)


def frames(path: Path) -> None:
    from degrade.stream import open_source

    source = open_source(path, max_pixels=MAX_PIXELS)
    for index in range(min(len(source), 3)):
        source.load(index)


def shards(path: Path) -> None:
    from degrade.stream import open_source

    source = open_source(str(path), max_pixels=MAX_PIXELS)
    for index in range(min(len(source), 5)):
        source.load(index)


def recipe(path: Path) -> None:
    import degrade

    made = degrade.recipe(path)
    degrade.recipe(made.to_toml())
    made.draw(degrade.make_keys(0, 2), 64, 64)


def parameters(path: Path) -> None:
    import torch

    from degrade.pairs.replay import load

    load(str(path)).run(torch.full((3, 64, 64), 99, dtype=torch.uint8), torch.ones(1, 1, 64, 64))


def manifest(path: Path) -> None:
    from degrade.pairs import verify
    from degrade.pairs.manifest import index, read

    for _, line in read(path):
        line.record()
    index(path.parent)
    verify.verify(path.parent)


def listing(path: Path) -> None:
    from degrade.stream import open_source

    source = open_source(path)
    for number in range(min(len(source), 3)):
        source.load(number)


def run_file(path: Path) -> None:
    from cli import runfile
    from enhance.trainers import trainer

    found = runfile.read(path, "--config")
    if "network" in found.told:
        trainer(found.told["network"], **found.config)


def weights(path: Path) -> None:
    from enhance.checkpoints import load_enhancer

    load_enhancer(path)


def segmenter(path: Path) -> None:
    from enhance.segmenter import load_segmenter

    load_segmenter(path)


DOORS: dict[str, Callable[[Path], None]] = {
    door.__name__: door
    for door in (image, frames, shards, recipe, parameters, manifest, listing, run_file, weights, segmenter)
}


def largest_memory() -> int:
    """The largest memory that this process has had, bytes; not `ru_maxrss`, which begins with its parent's."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    import click
    import torch

    import degrade.stream  # noqa: F401

    torch.set_num_threads(1)
    refusals = (ValueError, OSError, click.ClickException, ModuleNotFoundError)
    for line in sys.stdin:
        door, path = json.loads(line)
        answer = {"outcome": "taken", "detail": ""}
        try:
            DOORS[door](Path(path))
        except refusals as error:
            text = error.format_message() if isinstance(error, click.ClickException) else str(error)
            answer = {"outcome": "refused", "detail": text}
        except BaseException:
            answer = {"outcome": "fell", "detail": traceback.format_exc()[-1500:]}
        answer["memory"] = largest_memory()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
