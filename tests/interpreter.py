"""Triton's interpreter, in which kernels run where there is no GPU: a large tile costs it as much as a small one."""

from __future__ import annotations

import importlib

import pytest

_TILES = (
    ("gpu_fields", "_ACROSS", (64, 128)),
    ("gpu_fields", "_DOWN", (128, 128, 64)),
    ("gpu", "_TILE", (64, 128)),
    ("gpu", "_BLOCK", 8192),
)


def enlarge_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the interpreter several times faster. `test_triton_fundus.py` keeps the sizes that a GPU has."""
    for module, name, size in _TILES:
        monkeypatch.setattr(importlib.import_module(f"degrade.models.fundus.{module}"), name, size)
