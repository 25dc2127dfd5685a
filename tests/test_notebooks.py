"""The notebooks: they run, in time; and quickly, each cell compiles and what it imports is there."""

from __future__ import annotations

import ast
import base64
import importlib
import io
import itertools
import json
import resource
import runpy
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

FOLDER = Path(__file__).parents[1] / "docs/notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LARGEST = 1_500_000  # bytes, all together


def cells(path: Path, kind: str = "code") -> list[dict[str, Any]]:
    """The cells of a kind, in order."""
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def imports(tree: ast.AST) -> list[tuple[str, str]]:
    """Modules, and names that are taken from them."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(name.name, "") for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(node.module or "", name.name) for name in node.names]
    return found


def test_there_are_four() -> None:
    assert [path.stem for path in NOTEBOOKS] == [
        "compare_enhancers",
        "fundus_first_steps",
        "own_training_loop",
        "xray_noise",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_cells_compile_and_what_they_import_is_there(path: Path) -> None:
    trees = [ast.parse(source(cell), f"{path.name}, cell {number}") for number, cell in enumerate(cells(path))]
    names = [name for tree in trees for name in imports(tree)]
    assert names
    for module, name in names:
        if module.split(".")[0] == "matplotlib":
            pytest.importorskip("matplotlib", reason="needs Matplotlib: pip install 'degrade-enhance[plots]'")
        found = importlib.import_module(module)
        assert not name or hasattr(found, name) or importlib.import_module(f"{module}.{name}"), (module, name)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_they_show_is_kept(path: Path) -> None:
    """Outputs are of the code as it stands: each cell has run, in order, without an error or a warning."""
    code = cells(path)
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    pictures = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 2
    for picture in pictures:
        shown = Image.open(io.BytesIO(base64.b64decode("".join(picture))))
        assert len(shown.convert("L").getcolors(256) or []) > 8


def test_they_are_small() -> None:
    assert sum(path.stat().st_size for path in NOTEBOOKS) < LARGEST


def joined(kinds: list[str]) -> list[str]:
    """Kinds of outputs; what is printed comes in one piece or, where a message stood between, in several."""
    return [kind for kind, _ in itertools.groupby(kinds)]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_run(path: Path) -> None:
    for module in ("nbclient", "ipykernel"):
        pytest.importorskip(module, reason=f"needs {module}: pip install 'degrade-enhance[notebooks]'")
    execute = runpy.run_path(str(FOLDER.parent / "make_notebooks.py"))["execute"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    executed = execute(path, seconds=300)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    for cell, kept in zip([one for one in executed.cells if one.cell_type == "code"], cells(path), strict=True):
        shown = [output.output_type for output in cell.outputs if output.get("name") != "stderr"]
        assert joined(shown) == joined([output["output_type"] for output in kept["outputs"]]), source(kept)
    assert after.ru_utime - before.ru_utime < 120  # half a minute, and a minute where loops are compiled first
