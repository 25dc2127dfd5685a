"""Options for data sets with maps: --layout, --masks, --vessels, --discs, --labels and --keep, and their opening."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar

import click

from degrade.images import image_io
from degrade.pairs import PairsError
from degrade.pairs.existing import are_pairs, open_pairs
from degrade.stream import Source, SourceError
from degrade.stream.datasets import DatasetError, open_dataset
from degrade.stream.layouts import LAYOUTS
from enhance.probing import first_usable

from .failures import say
from .options import Refusal

Command = TypeVar("Command", bound=Callable[..., Any])

_PATTERN = "by the names of the images, or a pattern such as 'DIR/{id}_manual1.gif'"
_FLAGS = {
    "source": "SOURCE",
    "layout": "--layout",
    "labels": "--labels",
    "maps.mask": "--masks",
    "maps.vessels": "--vessels",
    "maps.disc": "--discs",
}
"""By argument of `open_dataset`."""

HELP = {
    "layout": f"SOURCE is the folder of a public data set, as it is distributed: {', '.join(LAYOUTS)}.",
    "masks": f"Fields of view {_PATTERN}. Images without one are left out.",
    "vessels": f"Vessel masks {_PATTERN}. Images without one are left out.",
    "discs": f"Masks of the optic disc {_PATTERN}. Images without one are left out.",
    "labels": "CSV with the quality of each image, as EyeQ's: only images with a label in --keep are taken.",
    "keep": "Labels to keep, separated by commas; EyeQ's 0, 1, 2 are good, usable, reject.",
}


def map_options(*names: str) -> Callable[[Command], Command]:
    """Decorator for a click command: add some of the options."""

    def add(command: Command) -> Command:
        for name in reversed(names):
            kind = {"type": click.Choice(list(LAYOUTS))} if name == "layout" else {"metavar": _METAVARS[name]}
            shown = f"{HELP[name]}  [default: good]" if name == "keep" else HELP[name]
            flags = ("--keep", "--keep-labels") if name == "keep" else (f"--{name}",)
            command = click.option(*flags, name, help=shown, **kind)(command)
        return command

    return add


_METAVARS = {
    "masks": "DIR|PATTERN",
    "vessels": "DIR|PATTERN",
    "discs": "DIR|PATTERN",
    "labels": "FILE.csv",
    "keep": "LABEL,...",
}


def open_mapped(
    source: str,
    *,
    layout: str | None = None,
    labels: str | None = None,
    keep: str | None = None,
    wanted: Collection[str] | None = None,
    window: image_io.Window | None = None,
    max_pixels: int = 100_000_000,
    quiet: bool = False,
    masks: str | None = None,
    vessels: str | None = None,
    discs: str | None = None,
) -> Source:
    """Open SOURCE with the values of the options; errors become refusals of the flag that they are about.

    Args:
        source: text of SOURCE.
        masks, vessels, discs: values of the flags.
        layout, labels, keep, wanted, window, max_pixels: see `degrade.stream.datasets.open_dataset`.
        quiet: say nothing of images that are left out.
    """
    if keep is not None and labels is None:
        raise click.UsageError("--keep chooses by --labels: give both")
    flags = {"mask": masks, "vessels": vessels, "disc": discs}
    given = {name: text for name, text in flags.items() if text is not None}
    try:
        return open_dataset(
            _pairs(source, max_pixels) if layout is None and are_pairs(source) else source,
            layout=layout,
            maps=given,
            wanted=wanted,
            labels=labels,
            keep=keep or "good",
            note=lambda text: None if quiet else say(text, err=True),
            window=window,
            max_pixels=max_pixels,
        )
    except DatasetError as error:
        raise Refusal(_FLAGS[error.argument], str(error)) from None
    except (ModuleNotFoundError, SourceError, PairsError) as error:
        raise Refusal("SOURCE", str(error)) from None


def _pairs(source: str, max_pixels: int) -> Source:
    """Pairs that exist; the folder's manifest may be one that cannot be read."""
    try:
        return open_pairs(source, max_pixels)
    except OSError as error:
        raise Refusal("SOURCE", f"cannot read {source!r}: {error.strerror or error}") from None


STRUCTURE_HELP = "What to segment: the name of a map, such as vessels, disc or cup.  [default: vessels, or else disc]"


def open_structures(source: str, structure: str | None, **options: Any) -> tuple[Source, tuple[str, ...]]:
    """Open SOURCE as `open_mapped` does; the images, and the names of the maps that a segmenter is for.

    Args:
        source: text of SOURCE.
        structure: value of --structure: names separated by commas.
        options: those of `open_mapped`.
    """
    layout = options.get("layout")
    names = () if structure is None else tuple(name.strip() for name in structure.split(",") if name.strip())
    if structure is not None and (not names or len(set(names)) < len(names)):
        raise Refusal("--structure", f"{structure!r}: allowed are different names, separated by commas")
    found = open_mapped(source, wanted=("mask", *names) if layout is not None and names else None, **options)
    if names:
        return found, names
    sample = first_usable(found) or {}
    return found, ("disc",) if "disc" in sample and "vessels" not in sample else ("vessels",)
