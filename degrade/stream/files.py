"""Image files as a source: a folder, a list, or one file."""

from __future__ import annotations

import logging
import os
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from degrade.images import image_io
from degrade.images.dicom import is_unnamed
from degrade.stream.folders import LeftOut, find_images, relative, without_repetitions
from degrade.stream.frames import frame_name, with_frames
from degrade.stream.lists import LIST_SUFFIXES, read_list
from degrade.stream.source import Sample, Source, SourceError
from degrade.text import shown

_LOG = logging.getLogger("degrade.stream")


class FileSource(Source):
    """Image files, decoded one by one. Each frame of a DICOM file is an image: ID_f000, ID_f001, ...

    Args:
        folder: what the ids are relative to.
        paths: the files; repeated ones count once, and are added to what is left out.
        title, path: see `Source`.
        left_out: what was passed over before.
        max_pixels: larger images are refused before they are decoded.
        window: for DICOM, see `degrade.images.image_io.read`.
    """

    def __init__(
        self,
        folder: Path,
        paths: Sequence[Path],
        title: str,
        *,
        path: Path | None = None,
        left_out: LeftOut | None = None,
        max_pixels: int = 100_000_000,
        window: image_io.Window | None = None,
    ) -> None:
        left_out = left_out or LeftOut()
        self._places = list(with_frames(without_repetitions(paths, folder, left_out)))
        self.title, self.path = title, path
        self.others, self.left_out = left_out.count, left_out.names
        names = [relative(file, folder) for file, _ in self._places]
        frames = [frame for _, frame in self._places]
        self.ids = make_ids(n if f is None else frame_name(n, f) for n, f in zip(names, frames, strict=True))
        self._origins = [n if f is None else f"{n}#f{f:03d}" for n, f in zip(names, frames, strict=True)]
        self._max_pixels, self._window = max_pixels, window
        _check_dicom([file for file, _ in self._places], title)

    def load(self, index: int) -> Sample:
        path, frame = self._places[index]
        try:
            return {"image": image_io.read(path, self._max_pixels, self._window, frame)}
        except image_io.ImageError as error:
            reason = str(error).removeprefix(f"cannot read {os.fspath(path)!r}: ")
            raise image_io.ImageError(reason) from None
        except UnicodeEncodeError as error:
            raise image_io.ImageError(
                f"its name cannot be written in this system's encoding, {error.encoding}"
            ) from None

    def origin(self, index: int) -> str:
        return self._origins[index]

    def file(self, index: int) -> Path:
        return self._places[index][0]


def _check_dicom(files: Sequence[Path], title: str) -> None:
    """Say at once, not with each image, that what reads DICOM files is missing."""
    if find_spec("pydicom") is not None:
        return
    count = sum(file.suffix.lower() == ".dcm" or is_unnamed(file) for file in files)
    text = f"{title} has {count} DICOM files, which need pydicom: pip install 'degrade-enhance[dicom]'"
    if count and count == len(files):
        raise SourceError(text)
    if count:
        _LOG.warning("%s", text)


_PAIRS = (("clean", "degraded", "manifest.jsonl"), ("shards", "recipe.toml", "manifest.jsonl"))
"""What `degrade.pairs.synthesize` writes, as files and as shards."""


def open_path(path: Path, max_pixels: int, window: image_io.Window | None) -> FileSource:
    """A folder (recursively, in sorted order, hidden things passed over), a list of paths, or one image file."""
    text, folder, left_out = os.fspath(path), path.parent, LeftOut()
    if _is_folder(path):
        for parts in _PAIRS:
            if all((path / part).exists() for part in parts):
                what = "one of its folders" if parts[0] == "clean" else "its shards"
                where = path / ("clean" if parts[0] == "clean" else "shards/{000000..000009}.tar")
                raise SourceError(
                    f"{text!r} holds pairs, clean images, degraded ones and their masks: give {what}, such as "
                    f"{os.fspath(where)!r}, or degrade.pairs.PairedDataset of it"
                )
        folder = path
        paths, left_out = find_images(path)
    else:
        paths = read_list(path) if path.suffix.lower() in LIST_SUFFIXES else [path]
    if not paths:
        beside = f" ({left_out.count} other files)" if left_out.count else ""
        raise SourceError(f"{text!r} holds no images{beside}; looked for {', '.join(sorted(image_io.IMAGE_SUFFIXES))}")
    return FileSource(folder, paths, repr(text), path=path, left_out=left_out, max_pixels=max_pixels, window=window)


def _is_folder(path: Path) -> bool:
    """Raises SourceError where there is nothing, or a name that nothing can have."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        raise SourceError(f"{os.fspath(path)!r} does not exist") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL, or a name beyond the system's encoding
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise SourceError(f"cannot open {shown(os.fspath(path))}: {reason}") from None


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
