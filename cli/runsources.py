"""Open the sources of `enhance train`, and split them into images to train on and images held out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import click

from degrade.base import Degradation
from degrade.pairs.existing import are_pairs
from degrade.recipes import recipe as open_recipe
from degrade.stream import Source, SourceError, open_source
from degrade.text import LARGEST_FILE, TextError, shown
from enhance.holdout import Ids, hold_out, in_halves, read_ids, split_again
from enhance.trainers import Sources, Trainer
from enhance.training.processes import is_first
from enhance.training.run_checkpoints import candidates, has_begun
from enhance.training.rundir import HELD_OUT, TRAINED_ON

from .failures import say
from .mapping import open_mapped
from .options import Refusal
from .problems import reason
from .runfile import OPTIONS, RunFile

_SHOWN = 5
_FIXED = {"hold_out": "split", "group": "split", "low_recipe": "recipe", "prepare": "preparation", "preset": "preset"}
"""Options that a run keeps, and what they decide."""


def read_sources(run: RunFile, made: Trainer) -> Sources:
    """Open all images of a run, also those it holds out."""
    told = run.told
    if "source" not in told:
        raise Refusal("SOURCE", "missing: a folder of images, or phantom:fundus for a first look")
    high = open_mapped(
        told["source"],
        layout=told.get("layout"),
        labels=told.get("labels"),
        keep=told.get("keep_labels"),
        wanted=("mask", *made.maps),
        quiet=not is_first(),
        masks=told.get("masks"),
        vessels=told.get("vessels"),
        discs=told.get("discs"),
    )
    pairs = "layout" not in told and are_pairs(told["source"])
    if pairs and made.needs_low == "must":
        raise Refusal("SOURCE", f"{made.name} trains on unpaired images: give the good ones alone, and --unpaired")
    low = _open(told["unpaired"], "--unpaired") if "unpaired" in told else None
    recipe = told.get("low_recipe")
    if made.needs_low != "must" and recipe is not None:
        raise Refusal("--low-recipe", f"{made.name} trains on pairs: --set recipe=... says how they are made")
    if recipe is not None:
        low_recipe(recipe)
    if made.needs_low == "must" and low is None and recipe is None:
        raise Refusal("--unpaired", f"{made.name} needs real bad images too, or --low-recipe, which makes them")
    if made.needs_low == "no" and low is not None:
        raise Refusal("--unpaired", f"{made.name} trains on good images alone")
    return Sources(high, low, recipe, pairs)


def low_recipe(name: str) -> Degradation:
    """The recipe of --low-recipe; refused if it is none."""
    try:
        return open_recipe(name)
    except OSError as error:
        raise Refusal("--low-recipe", f"cannot read {name!r}: {error.strerror}") from None
    except (TypeError, ValueError) as error:
        raise Refusal("--low-recipe", str(error)) from None


@dataclass(frozen=True)
class Split:
    """Sources to train on, sources held out, and the records of both that are missing in the run's folder."""

    on: Sources
    out: Sources | None
    files: dict[str, str]


def read_split(sources: Sources, run: RunFile, seed: int, out: Path, given: RunFile | None) -> Split:
    """Split the sources of a new run, or repeat the split of a resumed one, whose new options are `given`."""
    is_halved = sources.low_recipe is not None and sources.low is None
    if given is None or not is_begun(out):
        try:
            share = run.told["hold_out"]
            sources = in_halves(sources, seed, run.told["group"]) if is_halved else sources
            on, held = hold_out(sources, share, seed, run.told["group"]) if share else (sources, None)
        except ValueError as error:
            raise Refusal("--hold-out", str(error)) from None
        return Split(on, held, {HELD_OUT: Ids.of(held).to_json(), **_trained_on(on)})
    try:
        trained = read_ids(out / TRAINED_ON) if (out / TRAINED_ON).exists() else None  # older runs have none
        sources = replace(sources, low=sources.high) if is_halved else sources
        on, held, added = split_again(sources, read_ids(out / HELD_OUT), trained)
    except SourceError as error:
        raise Refusal("SOURCE", str(error)) from None
    except (TextError, OSError) as error:
        what = reason(error) if isinstance(error, OSError) else str(error)
        raise click.ClickException(
            f"{what}. Without it images that the run has trained on would count as kept out. Nothing was changed"
        ) from None
    if added and is_first():
        names = ", ".join(map(shown, added[:_SHOWN])) + (", ..." if len(added) > _SHOWN else "")
        say(f"{len(added)} images have been added since the run began, which goes on without: {names}", err=True)
    return Split(on, held, {} if trained is not None else _trained_on(on))


def _trained_on(sources: Sources) -> dict[str, str]:
    text = Ids.of(sources).to_json()
    return {TRAINED_ON: text} if len(text) <= LARGEST_FILE else {}  # more could not be read again


def is_begun(out: Path) -> bool:
    """Whether the run in a folder has or had a checkpoint."""
    return bool(candidates(out)) or has_begun(out)


def keep_split(base: RunFile, given: RunFile) -> None:
    """Refuse to change the split of a resumed run."""
    for name, what in _FIXED.items():
        before, now = base.told.get(name, OPTIONS[name].default), given.told.get(name)
        if now is not None and now != before:
            option = f"--{name.replace('_', '-')}"
            raise Refusal(option, f"{now!r}: the {what} of a run never changes, and it was begun with {before!r}")


def _open(text: str, argument: str) -> Source:
    try:
        return open_source(text)
    except (SourceError, ModuleNotFoundError) as error:
        raise Refusal(argument, str(error)) from None
