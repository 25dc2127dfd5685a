"""`degrade replay`: one degraded image again, from a manifest line, a record of parameters or a Cofe-Net file."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

import degrade
from cli import manifest
from cli.dataset import RECIPE, mask_file
from cli.options import Refusal, check_out, read_recipe, read_window, save, window_option
from degrade import image_io
from degrade.records import from_cofe_net, from_record

_LINE = re.compile(r"(?P<file>.+?\.jsonl):(?P<id>.+):(?P<view>\d+)", re.DOTALL)


@dataclass(frozen=True)
class _Replay:
    """What is needed to degrade an image again; `mask` is the data set's file, if there is one."""

    recipe: degrade.Degradation
    parameters: degrade.Parameters
    mask: Path | None = None


@click.command(
    epilog="""\b
PARAMETERS is one of
  pairs/manifest.jsonl:ID:VIEW   a line of a data set; IMAGE is then pairs/clean/ID.png for the same result, bit for bit
  a JSON file                    a line of a manifest, or only its parameters
  a Cofe-Net parameter file      as its authors' code and data set have them (recipe cofe-net, their 8-bit rounding)

\b
Examples:
  degrade replay pairs/manifest.jsonl:left/drive_01:0 pairs/clean/left/drive_01.png again.png
  degrade replay 6313_left_3_11.json 6313_left.png again.png
""",
)
@click.argument("parameters")
@click.argument("image", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--mask",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An image of the field of view, white inside.  [default: the data set's own, else estimated from IMAGE]",
)
@click.option(
    "--recipe",
    metavar="NAME|FILE.toml",
    help="The recipe of the parameters.  [default: recipe.toml beside a manifest, else cofe-net]",
)
@window_option
def replay(parameters: str, image: Path, out: Path, mask: Path | None, recipe: str | None, window: str | None) -> None:
    """Makes one degraded image again: degrades IMAGE as PARAMETERS say, into the file OUT."""
    check_out(out)
    what = _read(parameters, recipe)
    try:
        good = image_io.read(image, window=read_window(window))
        chosen = mask or what.mask
        result = _run(what, good, None if chosen is None else _read_mask(chosen, good))
    except ValueError as error:  # ImageError is one
        raise click.ClickException(str(error)) from None
    save(out, result)
    click.echo(str(out))


def _read(text: str, recipe: str | None) -> _Replay:
    """What PARAMETERS stands for; `recipe` is the value of --recipe, if given."""
    try:
        if line := _LINE.fullmatch(text):
            file, id_ = Path(line["file"]), line["id"]
            record = _record(file, id_, int(line["view"]))
            mask = mask_file(file.parent, id_)
            if not mask.resolve().is_relative_to(mask_file(file.parent, "").parent.resolve()):
                raise _bad(f"the image {id_!r} of {str(file)!r} lies outside its data set")
            chosen = recipe or str(file.parent / RECIPE)
            return _Replay(read_recipe(chosen), from_record(record), mask if mask.is_file() else None)
        content = _json(Path(text))
        if "params" in content:
            return _Replay(read_recipe(recipe or "cofe-net", None, ["emulate_8bit=true"]), from_cofe_net(content))
        return _Replay(read_recipe(recipe or "cofe-net"), from_record(content.get("parameters", content)))
    except OSError as error:
        raise _bad(f"cannot read {error.filename!r}: {error.strerror}") from None
    except ValueError as error:
        raise _bad(f"{text!r}: {error}") from None


def _run(what: _Replay, image: Tensor, mask: Tensor | None) -> Tensor:
    """The degraded image, of the type of the given one: uint8 or uint16 (C, H, W)."""
    clean = image_io.to_float(image)[None]
    degraded = what.recipe.apply(clean, what.parameters, what.recipe.field_of_view(clean) if mask is None else mask)
    return image_io.to_integer(degraded[0], 16 if image.dtype == torch.uint16 else 8)


def _read_mask(path: Path, image: Tensor) -> Tensor:
    """The mask in a file, (1, 1, H, W): grey levels weigh, and in a file of zeros and ones a one is white."""
    levels = image_io.read(path)
    if levels.shape[-2:] != image.shape[-2:]:
        sizes = ["{1} x {0}".format(*each.shape[-2:]) for each in (levels, image)]
        raise Refusal("--mask", f"{str(path)!r} is {sizes[0]} pixels and the image {sizes[1]}")
    mask = image_io.to_float(levels).amax(0, keepdim=True)[None]
    return mask if levels.int().max() > 1 else mask.ceil()


def _record(file: Path, id_: str, view: int) -> dict[str, Any]:
    views, ids = [], []
    for _, entry in manifest.read(file):
        if (entry["id"], entry["view"]) == (id_, view):
            record: dict[str, Any] = entry["parameters"]
            return record
        ids.append(str(entry["id"]))
        views += [entry["view"]] if entry["id"] == id_ else []
    if views:
        raise _bad(f"{str(file)!r} has no view {view} of {id_!r}; it has {', '.join(map(str, views))}")
    closest = difflib.get_close_matches(id_, dict.fromkeys(ids), n=3)
    meant = f"; did you mean {' or '.join(closest)}?" if closest else f"; the first is {ids[0]!r}" if ids else ""
    raise _bad(f"{str(file)!r} has no image {id_!r}{meant}")


def _json(path: Path) -> dict[str, Any]:
    if path.suffix == ".jsonl":
        raise _bad(f"which line of {str(path)!r}? Give {path}:ID:VIEW")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"no JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError("a JSON object is needed, names to numbers")
    return content


def _bad(message: str) -> Refusal:
    return Refusal("PARAMETERS", message)
