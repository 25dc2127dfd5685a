"""The site, without building it: links between Markdown files, navigation, pages of recipes, networks and reference."""

from __future__ import annotations

import importlib
import json
import re
import runpy
from pathlib import Path
from urllib.parse import unquote

import pytest

import degrade
import enhance

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)


def text_of(path: Path) -> str:
    """A page without its code; of a notebook, its Markdown."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells)
    return CODE.sub("", text)


def links(path: Path) -> list[str]:
    return [link for link in LINK.findall(text_of(path)) if ":" not in link]


def headings(path: Path) -> set[str]:
    """The anchors of a page, as Zensical and GitHub make them."""
    found = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL), re.M)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in found}


def problems(path: Path, root: Path = ROOT) -> list[str]:
    """Links of a file to files or headings that are not there."""
    bad = []
    for link in links(path):
        target, _, anchor = link.partition("#")
        there = (path.parent / unquote(target)).resolve() if target else path
        found = there.exists() and (there == root or root in there.parents)
        if not found or (anchor and there.suffix == ".md" and anchor not in headings(there)):
            bad.append(link)
    return bad


@pytest.mark.parametrize(
    "path", [*PAGES, *sorted(DOCS.rglob("*.ipynb")), *sorted(ROOT.glob("*.md"))], ids=lambda p: p.name
)
def test_links_between_files_lead_somewhere(path: Path) -> None:
    assert problems(path) == []


def test_links_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# The page\n[a](nowhere.md) [b](#nowhere) [c](#the-page) [d](page.md#the-page) ![e](none.png)\n"
        "[![f](no.png)](page.md) `[g](code.md)` [h](https://example.org) [i](/etc/hostname)\n"
    )
    assert problems(page, tmp_path) == ["nowhere.md", "#nowhere", "none.png", "no.png", "/etc/hostname"]


def navigation() -> list[str]:
    """The pages of mkdocs.yml, in order."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    return re.findall(r"^ +- (?:[^:\n]+: )?([\w/.-]+\.md)$", text.partition("\nnav:\n")[2], re.M)


def test_every_page_is_in_the_navigation() -> None:
    """Of mkdocs.yml; a page that is not there is found by nobody."""
    there = {path.relative_to(DOCS).with_suffix(".md").as_posix() for path in [*PAGES, *DOCS.rglob("*.ipynb")]}
    named = navigation()
    assert len(named) == len(set(named))
    assert set(named) == there | {"changes.md", "contributing.md"}


@pytest.mark.parametrize("name", list(degrade.RECIPES))
def test_every_recipe_is_on_a_page_with_a_picture(name: str) -> None:
    (page,) = re.findall(rf"^\| \[`{name}`\]\((.*?)\)", (DOCS / "recipes/index.md").read_text(encoding="utf-8"), re.M)
    text = (DOCS / "recipes" / page).read_text(encoding="utf-8")
    assert f"`{name}`" in text
    assert re.search(r"!\[.+\]\(\.\./pictures/gallery/", text)


@pytest.mark.parametrize("name", list(enhance.NETWORKS))
def test_every_network_has_a_page_with_a_picture_and_commands(name: str) -> None:
    text = (DOCS / f"networks/{name}.md").read_text(encoding="utf-8")
    assert f"enhance train {name} " in text
    assert re.search(r"!\[.+\]\(\.\./pictures/gallery/", text)


def test_reference_pages_name_objects_that_exist() -> None:
    named = [
        name
        for page in (DOCS / "reference").glob("*.md")
        for name in re.findall(r"^::: (\S+)$", page.read_text(), re.M)
    ]
    assert len(named) == len(set(named)) > 50
    for name in named:
        parts = name.split(".")
        for place in range(len(parts), 0, -1):
            path = ROOT.joinpath(*parts[:place])
            if path.with_suffix(".py").is_file() or (path / "__init__.py").is_file():
                break
        if parts[1] == "adapters":
            continue  # the packages that they are for may be missing
        found: object = importlib.import_module(".".join(parts[:place]))
        for part in parts[place:]:
            found = getattr(found, part)


def test_examples_in_docstrings_are_fenced() -> None:
    pytest.importorskip("griffe", reason="needs griffe: pip install 'degrade-enhance[docs]'")
    fenced = runpy.run_path(str(DOCS / "griffe_examples.py"))["fenced"]
    assert (
        fenced("Two.\n\n>>> 1\n1\n\nEnd.\n\n>>> 2\n2")
        == "Two.\n\n```pycon\n>>> 1\n1\n```\n\nEnd.\n\n```pycon\n>>> 2\n2\n```"
    )
    assert fenced("None > 2 >> 1.") == "None > 2 >> 1."
