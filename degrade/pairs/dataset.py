"""A paired data set in a folder: recipe and settings, what a run may write there, and what is there already."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from degrade.base import Degradation
from degrade.files import LOCK, UNFINISHED, remove_unfinished, write_bytes
from degrade.images import image_io
from degrade.images.dicom import Window
from degrade.pairs import manifest, storage
from degrade.pairs.errors import PairsError
from degrade.pairs.items import Item, Items
from degrade.pairs.layout import FAILED, FOLDERS, MANIFEST, RECIPE, Layout
from degrade.pairs.storage import Checker
from degrade.recipes import recipe as open_recipe
from degrade.rng import keyed
from degrade.text import TextError, parse_toml, read_text
from degrade.version import __version__


@dataclass(frozen=True)
class Settings:
    """What, beside the recipe and the source, decides the bytes of a data set.

    Attributes:
        seed: another seed gives other degradations.
        views: degraded images of each image.
        size: side of the square that images are fitted into, pixels; 0 keeps their size.
        bits: of every channel of every image, 8 or 16; 0 keeps those of the image.
        format: of the degraded images: png, jpeg or webp.
        window: of DICOM files, see `window_text`; "" shows all that their bits can hold.
        writer: "files" or "shards".
        shard_size: largest shard, bytes; 0 for files.
        masks: use the fields of view of the source, its map "mask", instead of the recipe's.
    """

    seed: int = 0
    views: int = 1
    size: int = 0
    bits: int = 0
    format: str = "png"
    window: str = ""
    writer: str = "files"
    shard_size: int = 0
    masks: bool = False


_NOTES = {
    "seed": "of the run",
    "views": "degraded images of each image",
    "format": "of the degraded images",
    "size": "side of the images, pixels",
    "bits": "of a channel, in all images",
    "window": "of DICOM files: file, or center,width",
    "writer": "of the images: files, or shards",
    "shard_size": "largest shard, bytes",
    "masks": "fields of view are those of the source",
}
_OPTIONAL = {"size": 0, "bits": 0, "window": "", "writer": "files", "shard_size": 0, "masks": False}
"""Settings that recipe.toml names only where they have another value than this one."""


def window_text(window: Window | None) -> str:
    """A window as `Settings` has it: "", "file" or "center,width"."""
    return "" if window is None else window if isinstance(window, str) else f"{window[0]:g},{window[1]:g}"


@dataclass(frozen=True)
class DataSet:
    """The data set in the folder of `layout`, made by `recipe` with `settings`."""

    recipe: Degradation
    layout: Layout
    settings: Settings = field(default_factory=Settings)

    @property
    def root(self) -> Path:
        return self.layout.root

    def keys(self, id_: str) -> list[int]:
        """The keys of the views of an image."""
        key = keyed.make_keys(self.settings.seed, [id_])
        keys: list[int] = keyed.view_keys(key, torch.arange(self.settings.views)).tolist()
        return keys

    def is_intact(self, places: Sequence[manifest.Place], pixels: str) -> bool:
        """Whether the files of these lines are what the lines say, made from a source with these pixels."""
        try:
            lines = [manifest.at(place) for place in places]
        except (OSError, TextError):
            return False
        checker = Checker(self.layout)
        return all(line.pixels == pixels and not checker.damage(line) for line in lines)

    def has_mask(self, place: manifest.Place, mask: Tensor) -> bool:
        """Whether the stored field of view of a line is this one, float (1, H, W)."""
        try:
            stored = storage.load(self.layout, manifest.at(place), "mask", mask.numel())
        except (OSError, ValueError):
            return False
        return torch.equal(stored, image_io.to_integer(mask))

    def toml(self) -> str:
        """The recipe, and the settings beside it."""
        values = {name: getattr(self.settings, name) for name in _NOTES}
        shown = {name: value for name, value in values.items() if name not in _OPTIONAL or value != _OPTIONAL[name]}
        lines = [f"# {_NOTES[name]}\n{name} = {json.dumps(value)}" for name, value in shown.items()]
        lines.append(f'# of degrade-enhance, which made it\nversion = "{__version__}"')
        return "\n".join([self.recipe.to_toml(), "[synth]", *lines]) + "\n"

    def prepare(self, items: Items, *, resume: bool, overwrite: bool) -> None:
        """Make the folder ready for a run.

        Nothing is changed before all is checked, and nothing that is not of a data set is ever deleted.

        Raises:
            PairsError: the folder has something else, or a data set that this run cannot go on with.
        """
        _keep_apart(self.root, items)
        made = read_recipe(self.root)
        ours = (LOCK,)
        present = self.root.is_dir() and any(
            name not in ours and not UNFINISHED.fullmatch(name) for name in os.listdir(self.root)
        )
        if present and not (resume or overwrite):
            raise _bad(
                f"{str(self.root)!r} is not empty: --resume continues the run that was started there, --overwrite "
                "deletes its data set and starts anew"
            )
        if present and made is None:
            raise _bad(f"{str(self.root)!r} is not empty and no data set of 'degrade synth' ({RECIPE} is not one's)")
        if made is not None and resume:
            self._compare(made, items)
        elif made is not None:
            _delete(self.root, written_as(made))
        if self.root.exists():
            remove_unfinished(self.root)
            manifest.join_parts(self.root)
        if made is None or overwrite:
            write_bytes(self.root / RECIPE, self.toml().encode())

    def write_failures(self, failures: Sequence[tuple[Item, str]]) -> None:
        """Write failed.jsonl, or delete it if nothing failed."""
        if not failures:
            (self.root / FAILED).unlink(missing_ok=True)
            return
        entries = ({"source": item.source, "error": error} for item, error in failures)
        text = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
        write_bytes(self.root / FAILED, text.encode("utf-8", "replace"))

    def _compare(self, made: dict[str, Any], items: Items) -> None:
        run = made.pop("synth")
        try:
            then = open_recipe(read_text(self.root / RECIPE))
        except (TypeError, ValueError) as error:
            raise _bad(f"--resume: {str(self.root / RECIPE)!r} cannot be read: {error}") from None
        before = {"recipe": then.name, **then.settings, **_OPTIONAL, "version": "0.1", **run}
        ours = {name: getattr(self.settings, name) for name in _NOTES} | {"version": __version__}
        now = {"recipe": self.recipe.name, **self.recipe.settings, **ours}
        names = [name for name in {**now, **before} if now.get(name) != before.get(name)]
        if "recipe" in names:
            names = [name for name in names if name in ("recipe", *ours)]  # what follows from it says nothing
        if names:
            was = ", ".join(f"{name} = {_show(before.get(name))} (now {_show(now.get(name))})" for name in names)
            raise _bad(f"--resume: {str(self.root)!r} was made with {was}; give the same settings or another folder")
        for id_, _ in manifest.index(self.root):
            if id_ not in items:
                raise _bad(f"--resume: {str(self.root)!r} has {id_!r}, which is not in SOURCE (or beyond --limit)")


def read_recipe(root: Path) -> dict[str, Any] | None:
    """recipe.toml of a data set; None if there is none or if it is not from `degrade synth`."""
    try:
        made = parse_toml(read_text(root / RECIPE))
    except (OSError, TextError):
        return None
    return made if isinstance(made.get("synth"), dict) else None


def written_as(made: dict[str, Any]) -> str:
    """ "files" or "shards": how the data set of this recipe.toml was written."""
    return "shards" if made["synth"].get("writer") == "shards" else "files"


def _keep_apart(root: Path, items: Items) -> None:
    inner = root.resolve()
    path = items.origin.path
    if path is not None and path.is_dir() and inner.is_relative_to(path.resolve()):
        raise _bad(f"{str(root)!r} is SOURCE or inside it: the results would be taken for images")
    files = {file for item in items if (file := items.origin.file(item.index)) is not None}
    if any(os.path.realpath(file).startswith(f"{inner}{os.sep}") for file in files):
        raise _bad(f"images of SOURCE lie inside {str(root)!r}: choose another folder")


def _delete(root: Path, writer: str) -> None:
    for name in FOLDERS[writer]:
        folder = root / name
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(folder)
    for path in (root / FAILED, root / MANIFEST, *manifest.parts(root)):
        path.unlink(missing_ok=True)
    (root / RECIPE).unlink()  # the last to go: it is what says that the rest may be deleted


def _show(value: Any) -> str:
    return "none" if value in (None, "") else f"{value:g}" if isinstance(value, float) else str(value)


def _bad(message: str) -> PairsError:
    return PairsError("DEST", message)
