"""Select the images of a source by a CSV of quality labels, such as EyeQ's Label_EyeQ_train.csv."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from degrade.images.image_io import IMAGE_SUFFIXES
from degrade.stream.source import Source, SourceError
from degrade.text import TextError, read_text, shown

GRADES = {"0": "good", "1": "usable", "2": "reject"}
"""Words for EyeQ's numbers."""

_IMAGE = ("image", "image_name", "image_id", "filename", "file", "name", "id")
_QUALITY = ("quality", "quality_label", "label", "grade")
_LARGEST = 1 << 28


def read_labels(path: str | os.PathLike[str]) -> dict[str, str]:
    """The quality of each image in a CSV file with a header, by the image's name without folder and suffix.

    The columns are called image (or image_name, filename, name, id) and quality (or label, grade), in any case; other
    columns do not matter. Columns are separated by commas, semicolons or tabs. EyeQ's 0, 1 and 2 become good, usable
    and reject; other labels stay as they are, in lower case.

    Raises:
        SourceError: the file cannot be read, has no such columns or no rows, or two labels for one image.
    """
    name = os.fspath(path)
    try:
        lines = read_text(path, _LARGEST).splitlines()
    except (OSError, TextError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise SourceError(f"cannot read the labels {name!r}: {reason}") from None
    header = lines[0].removeprefix("\ufeff") if lines else ""
    separator = max(",;\t", key=header.count)
    try:
        rows = list(csv.reader([header, *lines[1:]], delimiter=separator))
    except csv.Error as error:
        raise SourceError(f"the labels {name!r} are no CSV: {error}") from None
    columns = [column.strip().lower() for column in rows[0]] if rows else []
    image, quality = (_column(columns, wanted, name) for wanted in (_IMAGE, _QUALITY))
    labels: dict[str, str] = {}
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) <= max(image, quality):
            raise SourceError(f"the labels {name!r}, line {number}: {len(row)} columns, the header has {len(columns)}")
        label = row[quality].strip().lower()
        label, key = GRADES.get(label, label), _stem(row[image].strip())
        if labels.setdefault(key, label) != label:
            raise SourceError(f"the labels {name!r}, line {number}: {shown(key)} is {label}, and {labels[key]} before")
    if not labels:
        raise SourceError(f"the labels {name!r} have no rows")
    return labels


def keep_labelled(source: Source, path: str | os.PathLike[str], keep: str | Iterable[str] = "good") -> Source:
    """The images of a source whose quality in a CSV file is one of some labels; images without a label are left out.

    Args:
        source: its ids end in the names of the file.
        path: see `read_labels`.
        keep: labels, a list of them or separated by commas: of EyeQ "good", "usable" and "reject".

    Raises:
        SourceError: see `read_labels`; a label that no image has, or no image of the source is kept.
    """
    labels, name = read_labels(path), os.fspath(path)
    wanted = [word.strip().lower() for word in (keep.split(",") if isinstance(keep, str) else keep)]
    wanted = [GRADES.get(word, word) for word in wanted]
    there = sorted(set(labels.values()))
    for word in wanted:
        if word not in there:
            raise SourceError(f"keep = {word!r}: the labels {name!r} have {', '.join(map(shown, there[:8]))}")
    known = [id_ for id_ in source.ids if _stem(id_) in labels]
    if not known:
        raise SourceError(
            f"the labels {name!r} name no image of {source.title}: expected names such as {_stem(source.ids[0])!r}, "
            f"found {next(iter(labels))!r}"
        )
    kept = [id_ for id_ in known if labels[_stem(id_)] in wanted]
    if not kept:
        raise SourceError(f"none of the {len(known)} labelled images of {source.title} is {' or '.join(wanted)}")
    return source.subset(kept)


def _column(columns: Sequence[str], wanted: Sequence[str], name: str) -> int:
    for word in wanted:
        if word in columns:
            return columns.index(word)
    found = ", ".join(shown(column) for column in columns if column) or "nothing"
    raise SourceError(
        f"the labels {name!r} have no column {wanted[0]!r} (or {', '.join(wanted[1:])}): their first line has {found}"
    )


def _stem(name: str) -> str:
    last = PurePosixPath(re.sub(r"\\", "/", name)).name
    suffix = PurePosixPath(last).suffix
    return last.removesuffix(suffix) if suffix.lower() in IMAGE_SUFFIXES else last
