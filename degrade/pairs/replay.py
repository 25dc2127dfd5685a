"""Making a degraded image again: from a manifest line, a record of parameters, or a Cofe-Net file."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from degrade.base import Degradation
from degrade.images import image_io, maps
from degrade.models.fundus.release import from_cofe_net
from degrade.pairs import manifest, storage
from degrade.pairs.errors import PairsError
from degrade.pairs.layout import RECIPE, Layout, stays_inside
from degrade.parameters import Parameters
from degrade.recipes import recipe as open_recipe
from degrade.records import from_record
from degrade.text import TextError, parse_json, read_text, shown

_LINE = re.compile(r"(?P<file>.+?\.jsonl):(?P<id>.+):(?P<view>\d{1,9})", re.DOTALL)


def replay(
    line_or_path: manifest.Line | Mapping[str, Any] | str | os.PathLike[str],
    image: Tensor | None = None,
    mask: Tensor | None = None,
    *,
    recipe: Degradation | str | os.PathLike[str] | None = None,
) -> Tensor:
    """Make a degraded image again.

    Args:
        line_or_path: a line of a manifest, as `manifest.Line` or as the dictionary that its JSON text holds;
            "pairs/manifest.jsonl:ID:VIEW"; or the path of a JSON file: a line, its parameters alone, or a Cofe-Net
            parameter file.
        image: the clean image, (C, H, W): uint8, uint16, or floating point in [0, 1]. None takes that of the data set,
            files or shards, which needs "pairs/manifest.jsonl:ID:VIEW".
        mask: the field of view, (1, H, W) or (1, 1, H, W), 1 inside. None takes that of the data set, and estimates it
            where there is none.
        recipe: that made the image; None takes recipe.toml beside a manifest, else cofe-net.

    Returns:
        (C, H, W), of the type of `image`. With the clean image and the mask of a data set it equals the stored degraded
        image bit for bit, if that is a PNG.

    Raises:
        PairsError: a line, file or image that cannot be read.
        ValueError: parameters that the recipe does not take.

    >>> import tempfile
    >>> from degrade.pairs import synthesize
    >>> folder = tempfile.mkdtemp()
    >>> outcome = synthesize("phantom:fundus?count=1&size=64", folder, "cofe-net", writer="shards")
    >>> replay(f"{folder}/manifest.jsonl:fundus_0000:0").shape
    torch.Size([3, 64, 64])
    """
    chosen = open_recipe(recipe) if isinstance(recipe, (str, os.PathLike)) else recipe
    if isinstance(line_or_path, (str, os.PathLike)):
        what = load(os.fspath(line_or_path), chosen)
    elif isinstance(line_or_path, manifest.Line):
        what = _from_content(
            {
                "key": line_or_path.key,
                "parameters": line_or_path.record(),
                "version": line_or_path.version,
            },
            chosen,
        )
    else:
        what = _from_content(line_or_path, chosen)
    image = what.clean() if image is None else image
    if mask is None:
        mask = what.mask(image)
    return what.run(image, mask if mask is None or mask.ndim == 4 else mask[None])


@dataclass(frozen=True)
class Replay:
    """What is needed to degrade an image again; `layout` and `line` say where the data set has its images."""

    recipe: Degradation
    parameters: Parameters
    layout: Layout | None = None
    line: manifest.Line | None = None

    def run(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        """The degraded image.

        Args:
            image: uint8, uint16 or floating point (C, H, W).
            mask: (1, 1, H, W) in [0, 1]; None estimates it.

        Returns:
            (C, H, W) of the type of `image`.
        """
        clean = image_io.to_float(image)[None]
        degraded: Tensor = self.recipe.apply(
            clean, self.parameters, self.recipe.field_of_view(clean) if mask is None else mask
        )
        if image.is_floating_point():
            return degraded[0]
        return image_io.to_integer(degraded[0], 16 if image.dtype == torch.uint16 else 8)

    def clean(self) -> Tensor:
        """The clean image of the data set, uint8 or uint16 (C, H, W); PairsError where there is none."""
        if self.layout is None or self.line is None:
            raise PairsError("IMAGE", "an image is needed: only 'manifest.jsonl:ID:VIEW' names one of a data set")
        try:
            return storage.load(self.layout, self.line, "clean")
        except (OSError, ValueError) as error:
            raise PairsError("IMAGE", f"the clean image of {self.line.id!r} cannot be read: {error}") from None

    def mask(self, image: Tensor) -> Tensor | None:
        """The mask that the data set has, (1, 1, H, W) in [0, 1], for an image (C, H, W); None where it has none.

        Raises:
            PairsError: it has another size, or is damaged.
        """
        if self.layout is None or self.line is None:
            return None
        try:
            levels = storage.load(self.layout, self.line, "mask")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise PairsError("--mask", f"that of {self.line.id!r} cannot be read: {error}") from None
        return _as_mask(levels, image, f"the mask of {self.line.id!r}")


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
                chosen = open_recipe(chosen.to_toml(), emulate_8bit=True, frame="image")  # its images are cropped
            return Replay(chosen, from_cofe_net(content))
        return _from_content(content, recipe)
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
    except ValueError as error:
        raise PairsError("--mask", str(error)) from None
    return _as_mask(levels, image, repr(str(path)))


def _as_mask(levels: Tensor, image: Tensor, what: str) -> Tensor:
    try:
        if levels.shape[-2:] != image.shape[-2:]:
            sizes = ["{1} x {0}".format(*each.shape[-2:]) for each in (levels, image)]
            raise ValueError(f"{what} is {sizes[0]} pixels and the image {sizes[1]}")
        scaled = maps.full_scale(levels.amax(0, keepdim=True), "mask")
    except ValueError as error:
        raise PairsError("--mask", str(error)) from None
    return image_io.to_float(scaled)[None]


def parameters_of(recipe: Degradation, record: Mapping[str, Any]) -> Parameters:
    """The parameters of a record, (1, ...) each; ValueError where they are none."""
    return from_record(recipe.parameter_table, record)


def _from_content(content: Mapping[str, Any], recipe: Degradation | None) -> Replay:
    """From the dictionary of a line, or of its parameters alone."""
    chosen = recipe or open_recipe("cofe-net")
    parameters = parameters_of(chosen, content.get("parameters", content))
    if "key" in content and "parameters" in content:
        _check_noise(chosen, parameters, _key(content["key"]))
        chosen = _of_its_time(chosen, content.get("version", ""))
    return Replay(chosen, parameters)


def _from_manifest(file: Path, id_: str, view: int, recipe: Degradation | None) -> Replay:
    line = _find(file, id_, view)
    if not stays_inside(id_):
        raise _bad(f"the image {id_!r} of {str(file)!r} lies outside its data set")
    if recipe is None:
        recipe = open_recipe(read_text(file.parent / RECIPE))
    parameters = parameters_of(recipe, line.record())
    _check_noise(recipe, parameters, line.number)
    return Replay(_of_its_time(recipe, line.version), parameters, Layout(file.parent), line)


def _of_its_time(recipe: Degradation, version: object) -> Degradation:
    """The recipe as it was when a line was written: before version 0.3, which lines do not name, frames were files."""
    if version or "frame" not in recipe.settings_table:
        return recipe
    return open_recipe(recipe.to_toml(), frame="image")


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
