"""Image files as a source: a folder, a list, or one file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from degrade import image_io
from degrade.stream.source import Sample, Source, SourceError

LIST_SUFFIXES = (".txt", ".lst", ".list")


class FileSource(Source):
    """Image files, decoded one by one.

    Args:
        folder: what the ids are relative to.
        paths: the files; repeated ones count once.
        title, path, others: see `Source`.
        max_pixels: larger images are refused before they are decoded.
        window: for DICOM, see `degrade.image_io.read`.
    """

    def __init__(
        self,
        folder: Path,
        paths: Iterable[Path],
        title: str,
        *,
        path: Path | None = None,
        others: int = 0,
        max_pixels: int = 100_000_000,
        window: image_io.Window | None = None,
    ) -> None:
        self.title, self.path, self.others = title, path, others
        self._paths = list(dict.fromkeys(paths))
        self._origins = [_relative(file, folder) for file in self._paths]
        self.ids = make_ids(self._origins)
        self._max_pixels, self._window = max_pixels, window

    def load(self, index: int) -> Sample:
        path = self._paths[index]
        try:
            return {"image": image_io.read(path, self._max_pixels, self._window)}
        except image_io.ImageError as error:
            reason = str(error).removeprefix(f"cannot read {os.fspath(path)!r}: ")
            raise image_io.ImageError(reason) from None

    def origin(self, index: int) -> str:
        return self._origins[index]

    def file(self, index: int) -> Path:
        return self._paths[index]


_PAIRS = ("clean", "degraded", "manifest.jsonl")  # what `degrade synth` writes


def open_path(path: Path, max_pixels: int, window: image_io.Window | None) -> FileSource:
    """A folder (recursively, in sorted order, hidden things passed over), a list of paths, or one image file."""
    text = os.fspath(path)
    others = 0
    if path.is_dir():
        if all((path / part).exists() for part in _PAIRS):
            raise SourceError(
                f"{text!r} holds pairs, its clean images, its degraded ones and their masks: give one of its folders, "
                f"such as {os.fspath(path / 'clean')!r}"
            )
        found = list(_files(path))
        paths = [file for file in found if file.suffix.lower() in image_io.IMAGE_SUFFIXES]
        folder, others = path, len(found) - len(paths)
    elif not path.exists():
        raise SourceError(f"{text!r} does not exist")
    elif path.suffix.lower() in LIST_SUFFIXES:
        folder, paths = path.parent, _lines(path)
    else:
        folder, paths = path.parent, [path]
    if not paths:
        beside = f" ({others} other files)" if others else ""
        raise SourceError(f"{text!r} holds no images{beside}; looked for {', '.join(sorted(image_io.IMAGE_SUFFIXES))}")
    return FileSource(folder, paths, repr(text), path=path, others=others, max_pixels=max_pixels, window=window)


def list_of_files(paths: Sequence[str | os.PathLike[str]], max_pixels: int) -> FileSource:
    """The files of a list, with ids relative to the folder that they have in common."""
    files = [Path(path) for path in paths]
    folder = Path(os.path.commonpath([os.path.abspath(file.parent) for file in files]))
    return FileSource(folder, files, f"a list of {len(files)} files", max_pixels=max_pixels)


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
    """A relative path that stays where it is put and that no file beside it can be in the way of."""
    *folders, last = [part for part in PurePosixPath(name).parts if part not in ("/", "//", "..")] or ["image"]
    folders = [
        folder.replace(".", "_") if Path(folder).suffix.lower() in image_io.IMAGE_SUFFIXES else folder
        for folder in folders
    ]
    return "/".join([*folders, last])


def _without_suffix(name: str) -> str:
    suffix = PurePosixPath(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in image_io.IMAGE_SUFFIXES else name


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
        raise SourceError(f"cannot read the list {os.fspath(path)!r}: {error}") from None
    names = (line.strip() for line in lines)
    return [path.parent / name for name in names if name and not name.startswith("#")]
