"""The Python in docs/ runs as it stands, page by page, in a folder of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
LIBRARIES = "albumentations|monai|torchio|torchvision"  # of adapters; the tests can do without them
PAGES = sorted(page for page in DOCS.rglob("*.md") if "```python" in page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    lacking = []
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)):
        try:
            exec(compile(block, f"{page.name}, block {number}", "exec"), names)
        except ModuleNotFoundError as error:
            library = re.search(f"needs ({LIBRARIES})", str(error), re.IGNORECASE)
            if library is None:
                raise
            lacking.append(f"{number} ({library[1]})")
    assert names
    if lacking:
        pytest.skip(f"blocks whose library is not installed: {', '.join(lacking)}; the others ran")


def test_there_are_pages_with_code() -> None:
    assert "streams" in [page.stem for page in PAGES]


def test_links_between_pages_lead_somewhere() -> None:
    for page in DOCS.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
