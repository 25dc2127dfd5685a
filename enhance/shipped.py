"""The trained networks that come with the package: their names and files. docs/pretrained.md is their model card."""

from __future__ import annotations

import os
from pathlib import Path

PREFIX = "pretrained:"
FOLDER = Path(__file__).parent / "weights"
SUFFIX = ".safetensors"


class ShippedError(ValueError):
    """No network of that name comes with the package; the message lists those that do."""


def shipped_names() -> list[str]:
    """Names of the networks that come with the package.

    >>> shipped_names()
    ['pcenet-small', 'xbdcnn-small']
    """
    return sorted(file.name.removesuffix(SUFFIX) for file in FOLDER.glob(f"*{SUFFIX}"))


def is_shipped(path: str | os.PathLike[str]) -> bool:
    """Whether a text names a network of the package, "pretrained:NAME", rather than a file.

    >>> is_shipped("pretrained:xbdcnn-small"), is_shipped("runs/xbdcnn")
    (True, False)
    """
    return os.fspath(path).startswith(PREFIX)


def shipped_file(path: str | os.PathLike[str]) -> Path:
    """The weights file that "pretrained:NAME" names.

    Raises:
        ShippedError: there is none of that name.

    >>> shipped_file("pretrained:xbdcnn-small").name
    'xbdcnn-small.safetensors'
    """
    name = os.fspath(path).removeprefix(PREFIX)
    names = shipped_names()
    if name not in names:
        raise ShippedError(f"{PREFIX}{name}: the package has no network of that name; there are {', '.join(names)}")
    return FOLDER / f"{name}{SUFFIX}"
