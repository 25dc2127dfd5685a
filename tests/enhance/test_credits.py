"""Whose work X-BDCNN is: the paper that its equations, tables and widths are from."""

from __future__ import annotations

from pathlib import Path

import degrade
import enhance

ROOT = Path(__file__).parents[2]


def test_xbdcnn_is_credited_to_its_authors() -> None:
    title = "X-Ray Image Enhancement Using Blind Denoising Neural Networks"
    assert title in degrade.recipe("x-bdcnn").to_toml()
    assert title in enhance.NETWORKS["xbdcnn"].paper


def test_the_sister_paper_is_mentioned_once() -> None:
    """As what it is: another network of the same name."""
    files = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    files += [path for folder in ("degrade", "enhance", "cli") for path in (ROOT / folder).rglob("*.py")]
    found = [path.relative_to(ROOT).as_posix() for path in files if "WI-IAT" in path.read_text(encoding="utf-8")]
    assert found == ["docs/recipes/x-bdcnn.md"]
