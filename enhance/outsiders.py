"""Networks of other packages: an exported program FILE.pt2, or anything importable as module:function.

Both run code of whoever wrote them, as importing a package does; weights files of `enhance` never do.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class OutsiderError(ValueError):
    """Something that cannot be imported or loaded. The message is one line that names it."""


def is_outsider(text: str) -> bool:
    """Whether a text names an exported program or an importable function.

    >>> is_outsider("unet.pt2"), is_outsider("mypackage.networks:vessels"), is_outsider("run")
    (True, True, False)
    """
    module, colon, name = text.partition(":")
    names = (*module.split("."), *name.split("."))
    return text.endswith(".pt2") or (bool(colon) and all(part.isidentifier() for part in names))


def open_outsider(text: str, device: torch.device) -> Callable[[Tensor], Any]:
    """The function that a text names; a module is put on the device, in eval mode, and a class is made first.

    Raises:
        OutsiderError: it cannot be imported or loaded.
    """
    if text.endswith(".pt2"):
        if not Path(text).is_file():
            raise OutsiderError(f"{text!r} is no file")
        try:
            return torch.export.load(text).module().to(device)
        except Exception as error:  # damaged files raise a dozen kinds
            raise OutsiderError(f"{text!r} is no exported program: {_first_line(error)}") from None
    found = imported(text)
    if inspect.isclass(found):
        found = found()
    if isinstance(found, nn.Module):
        found = found.to(device).eval()
    if not callable(found):
        raise OutsiderError(f"{text!r} is a {type(found).__name__}, not a function of images")
    called: Callable[[Tensor], Any] = found
    return called


class Outsider:
    """A function of images as a method, for `enhance.evaluation.evaluate`.

    Args:
        function: from (B, C, H, W) in [0, 1] to enhanced images of that shape.
        name: of it, for errors.
    """

    def __init__(self, function: Callable[[Tensor], Any], name: str) -> None:
        self._function, self._name = function, name

    @torch.no_grad()
    def enhance(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        """Enhanced images, clipped to [0, 1]; OutsiderError where the function gives something else."""
        made = self._function(image)
        if not isinstance(made, Tensor) or made.shape != image.shape:
            got = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
            raise OutsiderError(f"{self._name} returned {got} for images {tuple(image.shape)}")
        return made.to(image).clamp(0, 1)


def imported(text: str) -> Any:
    """What "module:name" names; modules of the working directory can be imported, as with `python -m`."""
    module, _, name = text.partition(":")
    sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # an imported module may raise anything
        raise OutsiderError(f"cannot import {text!r}: {type(error).__name__}: {_first_line(error)}") from None
    finally:
        sys.path.remove("")
    return found


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
