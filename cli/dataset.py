"""A folder of pairs: what is where, what made it, and what of it is there already."""

from __future__ import annotations

import json
import os
import re
import shutil
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch

import degrade
from cli import manifest
from cli.options import Refusal
from cli.sources import Item, Source
from degrade import image_io

RECIPE = "recipe.toml"
_FAILED = "failed.jsonl"
_FOLDERS = ("clean", "degraded", "mask")
_UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.tmp")  # what image_io.write leaves of a file when it is killed


@dataclass(frozen=True)
class DataSet:
    """The data set in `root`, made by `recipe` with these settings; with `size` or `bits` 0 images keep theirs."""

    root: Path
    recipe: degrade.Degradation
    seed: int
    views: int
    size: int
    bits: int
    format: str

    def clean(self, id_: str) -> Path:
        """The file of a good image."""
        return clean_file(self.root, id_)

    def mask(self, id_: str) -> Path:
        """The file of its field of view."""
        return mask_file(self.root, id_)

    def degraded(self, id_: str, view: int) -> Path:
        """The file of one of its degraded views."""
        suffix = "jpg" if self.format == "jpeg" else self.format
        return self.root / "degraded" / f"{id_}_v{view}.{suffix}"

    def keys(self, id_: str) -> list[int]:
        """The keys of the views of an image."""
        keys: list[int] = degrade.make_keys(self.seed, [id_] * self.views, view=torch.arange(self.views)).tolist()
        return keys

    def is_done(self, item: Item, lines: manifest.Index) -> bool:
        """Whether all the lines and all the files of an item are there."""
        places = [lines.get((item.id, view)) for view in range(self.views)]
        files = [self.clean(item.id), self.mask(item.id), *(self.degraded(item.id, v) for v in range(self.views))]
        return manifest.matches(places, item, self.keys(item.id)) and all(map(os.path.isfile, files))

    def toml(self) -> str:
        """The recipe, and what the command adds to it."""
        notes = {"seed": "of the run", "views": "degraded images of each image", "format": "of the degraded images"}
        if self.size:
            notes["size"] = "side of the images, pixels"
        if self.bits:
            notes["bits"] = "of a channel, in all images"
        lines = (f"# {note}\n{name} = {json.dumps(getattr(self, name))}" for name, note in notes.items())
        return "\n".join([self.recipe.to_toml(), "[synth]", *lines]) + "\n"

    def prepare(self, source: Source, *, resume: bool, overwrite: bool) -> None:
        """Makes `root` ready for a run, or says why it is not: nothing that is not ours is ever deleted."""
        self._keep_apart(source)
        made = _read_recipe(self.root)
        present = self.root.is_dir() and any(not _UNFINISHED.fullmatch(name) for name in os.listdir(self.root))
        if present and not (resume or overwrite):
            raise _bad(
                f"{str(self.root)!r} is not empty: --resume continues the run that was started there, --overwrite "
                "deletes its data set and starts anew"
            )
        if present and made is None:
            raise _bad(
                f"{str(self.root)!r} is not empty and no data set of 'degrade synth' (it has no {RECIPE} of one)"
            )
        if made is not None and resume:
            self._compare(made, source)
        elif made is not None:
            self._delete()
        for folder in (self.root, *(self.root / name for name in _FOLDERS)):
            for left in folder.glob(".*.tmp") if folder is self.root else folder.rglob(".*.tmp"):
                if _UNFINISHED.fullmatch(left.name):
                    left.unlink()
        if made is None or overwrite:
            image_io.write_bytes(self.root / RECIPE, self.toml().encode())

    def write_failures(self, failures: Sequence[tuple[Item, str]]) -> None:
        """failed.jsonl, if anything failed."""
        if not failures:
            (self.root / _FAILED).unlink(missing_ok=True)
            return
        entries = ({"source": item.source, "error": error} for item, error in failures)
        text = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
        image_io.write_bytes(self.root / _FAILED, text.encode())

    def _keep_apart(self, source: Source) -> None:
        root = self.root.resolve()
        if source.path is not None and source.path.is_dir() and root.is_relative_to(source.path.resolve()):
            raise _bad(f"{str(self.root)!r} is SOURCE or inside it: the results would be taken for images")
        paths: Iterable[Path] = (item.path for item in source.items if item.path is not None)
        if any(os.path.realpath(path).startswith(f"{root}{os.sep}") for path in paths):
            raise _bad(f"images of SOURCE lie inside {str(self.root)!r}: choose another folder")

    def _compare(self, made: dict[str, Any], source: Source) -> None:
        run = made.pop("synth")
        try:
            then = degrade.recipe((self.root / RECIPE).read_text(encoding="utf-8"))
        except (TypeError, ValueError) as error:
            raise click.ClickException(f"{self.root / RECIPE} cannot be read: {error}") from None
        before = {"recipe": then.name, **then.settings, "size": 0, "bits": 0, **run}
        ours = {name: getattr(self, name) for name in ("seed", "views", "size", "bits", "format")}
        now = {"recipe": self.recipe.name, **self.recipe.settings, **ours}
        names = [name for name in {**now, **before} if now.get(name) != before.get(name)]
        if "recipe" in names:
            names = [name for name in names if name in ("recipe", *ours)]  # what follows from it says nothing
        if names:
            was = ", ".join(f"{name} = {_show(before.get(name))} (now {_show(now.get(name))})" for name in names)
            raise _bad(f"--resume: {str(self.root)!r} was made with {was}; give the same settings or another folder")
        known = {item.id for item in source.items}
        if strays := [id_ for id_, _ in manifest.index(self.root) if id_ not in known]:
            raise _bad(f"--resume: {str(self.root)!r} has {strays[0]!r}, which is not in SOURCE (or beyond --limit)")

    def _delete(self) -> None:
        for name in _FOLDERS:
            folder = self.root / name
            if folder.is_symlink():
                folder.unlink()
            elif folder.exists():
                shutil.rmtree(folder)
        for path in (self.root / _FAILED, self.root / manifest.MANIFEST, *manifest.parts(self.root)):
            path.unlink(missing_ok=True)
        (self.root / RECIPE).unlink()  # the last to go: it is what says that the rest may be deleted


def clean_file(root: Path, id_: str) -> Path:
    """The good image `id_` of the data set in `root`."""
    return root / "clean" / f"{id_}.png"


def mask_file(root: Path, id_: str) -> Path:
    """The field of view of image `id_` of the data set in `root`."""
    return root / "mask" / f"{id_}.png"


def _read_recipe(root: Path) -> dict[str, Any] | None:
    """recipe.toml of a data set; None if there is none or if it is not from `degrade synth`."""
    try:
        made = tomllib.loads((root / RECIPE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return made if isinstance(made.get("synth"), dict) else None


def _show(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _bad(message: str) -> Refusal:
    return Refusal("DEST", message)
