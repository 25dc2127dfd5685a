"""What a degraded image is made again from: a manifest line, a record of parameters, or a Cofe-Net file."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from degrade.base import Degradation, Parameters
from degrade.images import image_io, maps
from degrade.models.fundus.release import from_cofe_net
from degrade.pairs import manifest
from degrade.pairs.errors import PairsError
from degrade.pairs.layout import RECIPE, Layout, stays_inside
from degrade.recipes import recipe as open_recipe
from degrade.records import from_record
from degrade.text import TextError, parse_json, read_text, shown

_LINE = re.compile(r"(?P<file>.+?\.jsonl):(?P<id>.+):(?P<view>\d{1,9})", re.DOTALL)


@dataclass(frozen=True)
class Replay:
    """What is needed to degrade an image again; `mask` is the data set's file, if there is one."""

    recipe: Degradation
    parameters: Parameters
    mask: Path | None = None

    def run(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        """The degraded image, of the type of the given one: uint8 or uint16 (C, H, W); the mask is (1, 1, H, W)."""
        clean = image_io.to_float(image)[None]
        degraded = self.recipe.apply(clean, self.parameters, self.recipe.field_of_view(clean) if mask is None else mask)
        return image_io.to_integer(degraded[0], 16 if image.dtype == torch.uint16 else 8)


def load(text: str, recipe: Degradation | None = None) -> Replay:
    """Read what a degraded image is made again from.

    Args:
        text: "manifest.jsonl:ID:VIEW"; or the path of a JSON file: a manifest line, its parameters alone, or a
            Cofe-Net parameter file.
        recipe: of the parameters; by default recipe.toml beside a manifest, else cofe-net.

    Raises:
        PairsError: of the argument PARAMETERS: a file that cannot be read, or that holds something else.
    """
    try:
        if line := _LINE.fullmatch(text):
            return _from_manifest(Path(line["file"]), line["id"], int(line["view"]), recipe)
        content = _json(Path(text))
        if "params" in content:
            chosen = recipe or open_recipe("cofe-net")
            if "emulate_8bit" in chosen.settings_table:
                chosen = open_recipe(chosen.to_toml(), emulate_8bit=True)
            return Replay(chosen, from_cofe_net(content))
        chosen = recipe or open_recipe("cofe-net")
        record = content.get("parameters", content)
        parameters = from_record(record)
        if "key" in content and "parameters" in content:
            _check_noise(chosen, parameters, _key(content["key"]))
        return Replay(chosen, parameters)
    except OSError as error:
        raise _bad(f"cannot read {error.filename!r}: {error.strerror}") from None
    except PairsError:
        raise
    except (ValueError, TypeError) as error:
        raise _bad(f"{text[:200]!r}: {error}") from None


def read_mask(path: Path, image: Tensor) -> Tensor:
    """The mask in a file, (1, 1, H, W) in [0, 1], for an image (C, H, W).

    Raises:
        PairsError: of the argument --mask: another size, or no mask.
    """
    try:
        levels = image_io.read(path)
        if levels.shape[-2:] != image.shape[-2:]:
            sizes = ["{1} x {0}".format(*each.shape[-2:]) for each in (levels, image)]
            raise ValueError(f"{str(path)!r} is {sizes[0]} pixels and the image {sizes[1]}")
        scaled = maps.full_scale(levels.amax(0, keepdim=True), "mask")
    except ValueError as error:
        raise PairsError("--mask", str(error)) from None
    return image_io.to_float(scaled)[None]


def _from_manifest(file: Path, id_: str, view: int, recipe: Degradation | None) -> Replay:
    line = _find(file, id_, view)
    if not stays_inside(id_):
        raise _bad(f"the image {id_!r} of {str(file)!r} lies outside its data set")
    mask = Layout(file.parent).mask(id_)
    if recipe is None:
        recipe = open_recipe(read_text(file.parent / RECIPE))
    parameters = from_record(line.record())
    _check_noise(recipe, parameters, line.number)
    return Replay(recipe, parameters, mask if mask.is_file() else None)


def _find(file: Path, id_: str, view: int) -> manifest.Line:
    views: list[int] = []
    ids: list[str] = []
    for _, line in manifest.read(file):
        if (line.id, line.view) == (id_, view):
            return line
        if len(ids) < 100_000:
            ids.append(line.id)
        views += [line.view] if line.id == id_ else []
    if views:
        raise _bad(f"{str(file)!r} has no view {view} of {id_!r}; it has {', '.join(map(str, views[:20]))}")
    closest = difflib.get_close_matches(id_, dict.fromkeys(ids), n=3)
    meant = f"; did you mean {' or '.join(closest)}?" if closest else f"; the first is {ids[0]!r}" if ids else ""
    raise _bad(f"{str(file)!r} has no image {id_!r}{meant}")


def _check_noise(recipe: Degradation, parameters: Parameters, key: int) -> None:
    """TextError where the noise's key is not the one that the image's key gives: someone has rounded it."""
    if "noise_key" not in parameters:
        return
    drawn = recipe.draw(torch.tensor([key]), 64, 64)
    if "noise_key" in drawn and not torch.equal(drawn["noise_key"], parameters["noise_key"].view(-1)):
        raise TextError(
            f"noise_key = {int(parameters['noise_key'])} does not belong to key = {key}, which gives "
            f"{int(drawn['noise_key'])}: a program that reads numbers as float64 has probably rounded one of them"
        )


def _key(value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise TextError(f"key = {shown(value)}: a whole number is needed") from None
    if not -(2**63) <= number < 2**63:
        raise TextError(f"key = {shown(value)}: beyond 64 bits")
    return number


def _json(path: Path) -> dict[str, Any]:
    if path.suffix == ".jsonl":
        raise _bad(f"which line of {str(path)!r}? Give {path}:ID:VIEW")
    if path.is_dir():
        raise _bad(f"cannot read {str(path)!r}: it is a directory")
    content = parse_json(read_text(path))
    if not isinstance(content, dict):
        raise TextError("a JSON object is needed, names to numbers")
    return content


def _bad(message: str) -> PairsError:
    return PairsError("PARAMETERS", message)
