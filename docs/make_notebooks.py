"""Run the notebooks of docs/notebooks and keep what they show, in small: python docs/make_notebooks.py [NAME ...]

Pictures are kept with 256 colors. What differs from run to run (times, identifiers) is left out.
"""

from __future__ import annotations

import base64
import io
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

FOLDER = Path(__file__).parent / "notebooks"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def execute(path: Path, seconds: int = 120) -> Any:
    """Run a notebook in its folder; the notebook with its outputs. An exception of a cell is raised.

    Args:
        path: of the notebook.
        seconds: that a cell may take.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=seconds, resources={"metadata": {"path": str(path.parent)}}).execute()
    return notebook


def slim(notebook: Any) -> None:
    """Make pictures small, and leave out what differs from run to run."""
    notebook.metadata = METADATA
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = smaller(data["image/png"])
                data["text/plain"] = "<picture>"
            if "image/jpeg" in data:
                del data["image/jpeg"]
            if output.get("metadata"):
                output.metadata = {}


def smaller(png: str) -> str:
    """A PNG in base64 with 256 colors, where that is smaller."""
    data = base64.b64decode(png)
    file = io.BytesIO()
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(file, "png", optimize=True)
    return base64.b64encode(min(data, file.getvalue(), key=len)).decode()


def main(names: Sequence[str]) -> None:
    """Run these notebooks, or all, and write them back."""
    import nbformat

    for path in sorted(FOLDER.glob("*.ipynb")):
        if names and path.stem not in names:
            continue
        start = time.perf_counter()
        notebook = execute(path)
        slim(notebook)
        nbformat.write(notebook, path)
        print(f"{path.name}: {time.perf_counter() - start:.0f} s, {path.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
