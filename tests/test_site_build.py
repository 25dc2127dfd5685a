"""The site, built strictly where the extra is installed: its links, what it fetches, and how Markdown was read."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.test_site import ROOT, navigation

pytestmark = pytest.mark.slow


class Page(HTMLParser):
    """What a page of the site points to, and what it can be pointed at by."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.fetched: list[str] = []
        self.ids: set[str] = set()
        self.words: list[str] = []
        self._hidden = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.ids.update(value for name in ("id", "name") if (value := given.get(name)))
        if tag == "a" and (target := given.get("href")):
            self.targets.append(target)
        for name in ("src", "href"):
            if tag in ("script", "link", "img") and (target := given.get(name)) and given.get("rel") != "canonical":
                self.fetched.append(target)
        self._hidden += tag in ("script", "style", "pre", "code")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style", "pre", "code")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Path, Page]]:
    """The pages of a strict build, by path."""
    for module in ("zensical", "mkdocstrings"):
        pytest.importorskip(module, reason=f"needs {module}: pip install 'degrade-enhance[docs]'")
    copy = tmp_path_factory.mktemp("site")
    for name in ("docs", "degrade", "enhance"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("mkdocs.yml", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "CITATION.cff"):
        shutil.copy(ROOT / name, copy)
    build = [sys.executable, "docs/make_site.py"]
    done = subprocess.run(build, cwd=copy, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    built = copy / "build/site"
    yield {path: Page(path.read_text(encoding="utf-8")) for path in sorted(built.rglob("*.html"))}
    shutil.rmtree(copy)


def test_the_site_builds_strictly_and_its_links_lead_somewhere(site: dict[Path, Page]) -> None:
    (root,) = {path.parent for path in site if path.name == "404.html"}
    names = {path.relative_to(root).with_suffix(".md").as_posix() for path in site}
    assert set(navigation()) <= names
    bad = []
    for path, page in site.items():
        if path.name == "404.html":
            continue  # its links begin at the server's root
        for target in [*page.targets, *page.fetched]:
            link, _, anchor = unquote(target).partition("#")
            if ":" in link or link.startswith("//"):
                continue
            there = (path.parent / link.partition("?")[0]).resolve() if link else path
            if not there.exists() or (anchor and there in site and anchor not in site[there].ids | {"__toc"}):
                bad.append(f"{path.relative_to(root)}: {target}")
    assert bad == []


def test_the_site_fetches_nothing(site: dict[Path, Page]) -> None:
    outside = {target for page in site.values() for target in page.fetched if re.match(r"(https?:)?//", target)}
    assert outside == set()


def test_tables_lists_and_fences_of_the_site_are_such(site: dict[Path, Page]) -> None:
    """What Markdown's dialects read differently shows as bars, dashes and fences in the text."""
    for path, page in site.items():
        for words in page.words:
            assert not re.search(r"\|---|^\| |\n- |```|^::: |\]\(", words), (path.name, words)


@pytest.mark.parametrize(
    "room", ["degrade.stream", "degrade.pairs", "degrade.testing", "enhance.losses", "enhance.metrics"]
)
def test_what_a_room_exports_is_in_the_reference(site: dict[Path, Page], room: str) -> None:
    documented = set().union(*(page.ids for path, page in site.items() if path.parent.name == "reference"))
    for name in importlib.import_module(room).__all__:  # a function may have the name of its module
        assert {f"{room}.{name}", f"{room}.{name}.{name}"} & documented, name
