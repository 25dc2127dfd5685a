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
from enhance.patients import by_patient
from enhance.splits import Parts, by_ids, by_shares, read_id_list, read_shares
from enhance.trainers import Sources, Trainer
from enhance.training.processes import is_first
from enhance.training.run_checkpoints import candidates, has_begun
from enhance.training.rundir import HELD_OUT, TEST, TRAINED_ON

from .failures import say
from .mapping import open_mapped
from .options import Refusal
from .problems import reason
from .runfile import OPTIONS, RunFile

_SHOWN = 5
_FIXED = {
    "hold_out": "split",
    "group": "split",
    "low_recipe": "recipe",
    "prepare": "preparation",
    "preset": "preset",
} | dict.fromkeys(("split", "train", "validate", "test"), "split")
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
        parts = _parts(sources, run, seed, is_halved)
        tested = {} if parts.test is None else {TEST: Ids.of(parts.test).to_json()}
        files = {HELD_OUT: Ids.of(parts.validate).to_json(), **tested, **_trained_on(parts.train)}
        return Split(parts.train, parts.validate, files)
    try:
        trained = read_ids(out / TRAINED_ON) if (out / TRAINED_ON).exists() else None  # older runs have none
        sources = replace(sources, low=sources.high) if is_halved else sources
        kept = read_ids(out / TEST) if (out / TEST).exists() else None
        on, held, added = split_again(sources, read_ids(out / HELD_OUT), trained, kept)
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


def _parts(sources: Sources, run: RunFile, seed: int, is_halved: bool) -> Parts:
    """Split the images of a new run as its options say."""
    told, argument = run.told, "--hold-out"
    lists = {name: told[name] for name in ("train", "validate", "test") if name in told}
    if lists and "split" in told:
        raise Refusal("--split", f"{told['split']!r}: --{next(iter(lists))} says the same thing: give one of them")
    try:
        group = by_patient([one for one in (sources.high, sources.low) if one is not None], told["group"])
        sources = in_halves(sources, seed, group) if is_halved else sources
        if lists:
            argument = "--" + ", --".join(lists)
            return by_ids(sources, **{name: _id_list(path, f"--{name}") for name, path in lists.items()})
        if "split" in told:
            argument = "--split"
            return by_shares(sources, read_shares(told["split"]), seed, group)
        share = told["hold_out"]
        on, held = hold_out(sources, share, seed, group) if share else (sources, None)
        return Parts(on, held, None)
    except ValueError as error:
        raise Refusal(argument, str(error)) from None


def _id_list(path: str, argument: str) -> list[str]:
    try:
        return read_id_list(path)
    except OSError as error:
        raise Refusal(argument, f"cannot read {path!r}: {error.strerror or error}") from None
    except TextError as error:
        raise Refusal(argument, f"{path!r}: {error}") from None


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
