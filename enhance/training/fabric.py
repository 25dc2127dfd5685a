"""Import Lightning Fabric without torchmetrics, which Fabric imports to ask for its version and does not use.

With torchmetrics come SciPy's signal processing and Matplotlib: a second and more of processor time at the start of
every training, wherever Lightning itself is installed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_UNUSED = "torchmetrics"


def fabric_class() -> type[Fabric]:
    """Fabric, imported at the first call."""
    with _empty_in_place_of(_UNUSED):
        from lightning_fabric import Fabric
    return Fabric


@contextmanager
def _empty_in_place_of(name: str) -> Iterator[None]:
    """Context in which `name` imports as an empty module, if it is installed and not imported yet.

    Who asks for its version finds it in the metadata of the package, as of the real one.
    """
    if name in sys.modules or find_spec(name) is None:
        yield
        return
    empty = ModuleType(name)
    sys.modules[name] = empty
    try:
        yield
    finally:
        if sys.modules.get(name) is empty:
            del sys.modules[name]
