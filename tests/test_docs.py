"""The Python in docs/ runs as it stands, page by page, in a folder of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
LIBRARIES = "accelerate|albumentations|datasets|deepinv|lightning|monai|torchio|torchvision"  # the tests can do without
LACKING = re.compile(rf"(?:needs|No module named) '?({LIBRARIES})\b", re.IGNORECASE)
SLOW = {"fitting", "frameworks"}
PAGES = sorted(page for page in DOCS.rglob("*.md") if "```python" in page.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.slow if page.stem in SLOW else ()) for page in PAGES],
    ids=lambda page: page.relative_to(DOCS).with_suffix("").as_posix(),
)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    lacking = []
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)):
        try:
            exec(compile(block, f"{page.name}, block {number}", "exec"), names)
        except ModuleNotFoundError as error:
            library = LACKING.search(str(error))
            if library is None:
                raise
            lacking.append(f"{number} ({library[1]})")
        except NameError as error:  # of a block that was left out
            if not lacking:
                raise
            lacking.append(f"{number} ({error.name})")
    assert names
    if lacking:
        pytest.skip(f"blocks whose library is not installed: {', '.join(lacking)}; the others ran")


def test_there_are_pages_with_code() -> None:
    assert "streams" in [page.stem for page in PAGES]
