"""SOURCE -> items: the images of a file, a folder, a text list or a phantom, each with its id."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl

import torch
from torch import Tensor

import degrade
from cli.options import Refusal
from degrade import image_io
from degrade.settings import closest

SOURCE_HELP = """\b
SOURCE is one of
  an image file
  a folder: every image in it and in its subfolders, hidden ones apart
  a text file (.txt, .lst, .list): a path per line, relative to its folder; # begins a comment
  phantom:fundus?count=8&size=512&seed=0   procedural photographs, for a first look (quote it for the shell);
                                           phantom:chest and phantom:cornea likewise
"""
"""For the help of commands that take a SOURCE."""

LIST_SUFFIXES = (".txt", ".lst", ".list")
_PHANTOM = "phantom:"
_PHANTOM_DEFAULTS = {"count": 8, "size": 512, "seed": 0}
_PHANTOM_LEAST = {"count": 1, "size": degrade.base.SMALLEST_SIDE}


@dataclass(frozen=True)
class Item:
    """One image of SOURCE.

    `id` is what it is called in DEST, a relative path without suffix; `source` what it is called in SOURCE, never
    absolute. `path` is its file, `window` for DICOM; a phantom has a generator, a key and a size instead.
    """

    index: int
    id: str
    source: str
    path: Path | None = None
    phantom: tuple[str, int, int] | None = None
    window: image_io.Window | None = None

    def load(self, max_pixels: int) -> Tensor:
        """uint8 or uint16 (C, H, W); `image_io.ImageError`, without the path, where that fails."""
        if self.phantom is not None:
            name, key, size = self.phantom
            return image_io.to_integer(getattr(degrade.phantom, name)(torch.tensor([key]), size)[0][0])
        assert self.path is not None
        try:
            return image_io.read(self.path, max_pixels, self.window)
        except image_io.ImageError as error:
            reason = str(error).removeprefix(f"cannot read {os.fspath(self.path)!r}: ")
            raise image_io.ImageError(reason) from None


@dataclass(frozen=True)
class Source:
    """The items of SOURCE in order; how many files of a folder were passed over; the folder or file itself."""

    items: list[Item]
    others: int = 0
    path: Path | None = None


def open_source(text: str, window: image_io.Window | None = None) -> Source:
    """Reads what SOURCE names. Nothing is decoded yet.

    A folder is searched recursively, in sorted order; hidden files and folders are passed over. The paths in a list
    are relative to its folder; empty lines, lines that begin with # and repeated ones do not count. DICOM files are
    read through `window`.
    """
    if text.startswith(_PHANTOM):
        return _phantoms(text)
    path = Path(text)
    if path.is_dir():
        found = list(_files(path))
        images = [file for file in found if file.suffix.lower() in image_io.IMAGE_SUFFIXES]
        source = Source(_items(path, images), len(found) - len(images), path)
    elif not path.exists():
        raise _bad(f"{text!r} does not exist")
    elif path.suffix.lower() in LIST_SUFFIXES:
        source = Source(_items(path.parent, _lines(path)), path=path)
    else:
        source = Source(_items(path.parent, [path]), path=path)
    if not source.items:
        others = f" ({source.others} other files)" if source.others else ""
        raise _bad(f"{text!r} holds no images{others}; looked for {', '.join(sorted(image_io.IMAGE_SUFFIXES))}")
    return replace(source, items=[replace(item, window=window) for item in source.items])


def make_ids(names: Iterable[str]) -> list[str]:
    """Ids for relative posix paths: the path without its suffix, unique also where case does not count.

    Where two would be equal, each keeps its suffix after an underscore. None can leave the folder it is put in.

    >>> make_ids(["left/a.png", "right/a.png", "b.png", "b.jpg", "../c.png"])
    ['left/a', 'right/a', 'b_png', 'b_jpg', 'c']
    """
    cleaned = [_inside(name) for name in names]
    short = [_without_suffix(name) for name in cleaned]
    count = Counter(name.casefold() for name in short)
    ids: list[str] = []
    taken = {name.casefold() for name in short if count[name.casefold()] == 1}
    for name, stem in zip(cleaned, short, strict=True):
        chosen = stem
        if count[stem.casefold()] > 1:
            base = chosen = f"{stem}_{name[len(stem) :].lstrip('.')}".rstrip("_")
            number = 2
            while chosen.casefold() in taken:
                chosen, number = f"{base}_{number}", number + 1
            taken.add(chosen.casefold())
        ids.append(chosen)
    return ids


def _inside(name: str) -> str:
    """A relative path that stays where it is put and that no file of DEST can be in the way of."""
    *folders, last = [part for part in PurePosixPath(name).parts if part not in ("/", "//", "..")] or ["image"]
    folders = [
        folder.replace(".", "_") if Path(folder).suffix.lower() in image_io.IMAGE_SUFFIXES else folder
        for folder in folders
    ]
    return "/".join([*folders, last])


def _without_suffix(name: str) -> str:
    suffix = PurePosixPath(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in image_io.IMAGE_SUFFIXES else name


def _items(folder: Path, paths: Iterable[Path]) -> list[Item]:
    paths = list(dict.fromkeys(paths))
    sources = [_relative(path, folder) for path in paths]
    ids = make_ids(sources)
    numbered = enumerate(zip(ids, sources, paths, strict=True))
    return [Item(index, id_, source, path) for index, (id_, source, path) in numbered]


def _relative(path: Path, folder: Path) -> str:
    """`path` as seen from `folder`, with slashes, and with a mark for each byte that is no UTF-8."""
    try:
        text = os.path.relpath(path, folder)
    except ValueError:  # another drive of Windows
        text = path.name
    return Path(text).as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _files(folder: Path) -> Iterator[Path]:
    """Every file below a folder that is not hidden, sorted by folder and name."""
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(here, name) for name in sorted(names) if not name.startswith("."))


def _lines(path: Path) -> list[Path]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _bad(f"cannot read the list {os.fspath(path)!r}: {error}") from None
    names = (line.strip() for line in lines)
    return [path.parent / name for name in names if name and not name.startswith("#")]


def _phantoms(text: str) -> Source:
    name, _, query = text.removeprefix(_PHANTOM).partition("?")
    if name not in degrade.phantom.__all__:
        raise _bad(f"unknown phantom {name!r}{closest(name, degrade.phantom.__all__)}")
    values = dict(_PHANTOM_DEFAULTS)
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in values:
            raise _bad(f"unknown phantom option {key!r}{closest(key, values)}")
        try:
            values[key] = int(value)
        except ValueError:
            raise _bad(f"phantom option {key}={value!r}: a whole number is needed") from None
        if key in _PHANTOM_LEAST and values[key] < _PHANTOM_LEAST[key]:
            raise _bad(f"phantom option {key}={value}: at least {_PHANTOM_LEAST[key]}")
    count, size, seed = values.values()
    keys = degrade.make_keys(seed, count).tolist()
    source = f"{_PHANTOM}{name}?size={size}&seed={seed}"
    return Source([Item(i, f"{name}_{i:04d}", f"{source}#{i}", phantom=(name, keys[i], size)) for i in range(count)])


def _bad(message: str) -> Refusal:
    return Refusal("SOURCE", message)
