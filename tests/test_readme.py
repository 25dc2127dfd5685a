"""README's code and commands run as they stand, in a folder with its pictures; what it names exists."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

import degrade
import enhance
from cli.degrade import main as degrade_main
from cli.enhance import main as enhance_main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
LINES = [line for block in re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL) for line in block.splitlines()]
COMMANDS = [shlex.split(line) for line in LINES if not line.startswith("pip install ")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a reader: pictures of the repository, and room for files."""
    (tmp_path / "docs/pictures").mkdir(parents=True)
    shutil.copy(ROOT / "docs/pictures/retina.jpg", tmp_path / "docs/pictures")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_code_runs(folder: Path) -> None:
    names: list[dict[str, object]] = [{} for _ in PYTHON]
    for block, found in zip(PYTHON, names, strict=True):
        exec(compile(block, "README.md", "exec"), found)
    first, loop, undone = names
    photograph, degraded = first["photograph"], first["degraded"]
    assert isinstance(photograph, Image.Image)
    assert isinstance(degraded, Image.Image)
    assert (degraded.mode, degraded.size) == (photograph.mode, photograph.size)
    assert degraded.tobytes() != photograph.tobytes()
    assert Image.open(folder / "degraded.png").tobytes() == degraded.tobytes()
    assert "loss" in loop
    assert "enhanced" in undone


@pytest.mark.slow
def test_the_commands_run(folder: Path) -> None:
    mains = {"degrade": degrade_main, "enhance": enhance_main}
    assert {program for program, *_ in COMMANDS} == set(mains)
    for program, *arguments in COMMANDS:
        result = CliRunner().invoke(mains[program], arguments)
        assert result.exit_code == 0, (arguments, result.output, result.exception)
    assert (folder / "again.png").read_bytes() == (folder / "pairs/degraded/retina_v2.png").read_bytes()
    assert {"sheet.png", "table.png", "pairs", "run", "denoised"} <= {path.name for path in folder.iterdir()}


def test_every_recipe_has_a_row_and_a_page() -> None:
    for name in degrade.RECIPES:
        (page,) = re.findall(rf"^\| `{name}` \|.*\]\((.*?)\)\) \|$", README, flags=re.MULTILINE)
        assert (ROOT / page).is_file()


def test_every_network_has_a_row() -> None:
    for name in enhance.NETWORKS:
        assert re.search(rf"^\| `{name}` \|", README, flags=re.MULTILINE)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(page: str) -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    assert targets
    for target in targets:
        assert (ROOT / target).exists(), target


def test_it_is_short() -> None:
    assert len(README.splitlines()) < 150


def test_the_speeds_are_those_of_the_benchmarks() -> None:
    tables = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:Cofe-Net|X-ray noise), .*", README, flags=re.MULTILINE)
    assert len(rows) == 4
    for row in rows:
        for figure in re.findall(r"\d+\.\d+|(?<=\| )\d+(?= \()", row):
            assert re.search(rf"[ (]{re.escape(figure)} ([|(]|ms|times)", tables), (row, figure)


def test_paths_in_contributing_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:degrade|enhance|cli|tests|docs)/[\w./-]+)`", text)
    assert named
    for path in named:
        assert list(ROOT.glob(path.rstrip("/").replace("NAME", "*"))), path


def test_the_citation_names_the_papers() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    for network in enhance.NETWORKS.values():
        title = network.paper.partition(": ")[2].partition(". ")[0]
        assert title in citation, title
    assert f"version: {degrade.__version__}\n" in citation
