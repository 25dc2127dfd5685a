"""Build the site into build/site, strictly: python docs/make_site.py

The pages of docs/ are gathered in build/site-source, where notebooks become pages with their pictures, and CHANGELOG
and CONTRIBUTING join them. Then Zensical reads mkdocs.yml and builds; a warning is an error. Nothing is fetched.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SOURCE, SITE = ROOT / "build/site-source", ROOT / "build/site"
OF_ROOT = {"CHANGELOG.md": "changes.md", "CONTRIBUTING.md": "contributing.md"}
COPIED = {".md", ".png", ".jpg", ".webp", ".css", ".ipynb"}
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"(```.*?```|`[^`\n]+`)", re.DOTALL)


def gather(source: Path = SOURCE) -> None:
    """Write everything that the site is made of into one folder."""
    shutil.rmtree(source, ignore_errors=True)
    for path in sorted(path for path in DOCS.rglob("*") if path.suffix in COPIED):
        target = source / path.relative_to(DOCS)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".ipynb":
            shutil.copy(path, target)
            text = page_of(json.loads(path.read_text(encoding="utf-8")), target.with_suffix(""))
            target.with_suffix(".md").write_text(relinked(text, path.parent), encoding="utf-8")
        elif path.suffix == ".md":
            target.write_text(relinked(path.read_text(encoding="utf-8"), path.parent), encoding="utf-8")
        else:
            shutil.copy(path, target)
    for name, page in OF_ROOT.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        (source / page).write_text(relinked(text, ROOT), encoding="utf-8")
    for name in ("LICENSE", "CITATION.cff"):
        shutil.copy(ROOT / name, source / f"{name}.txt")


def relinked(text: str, folder: Path) -> str:
    """The links of a page of `folder` as they are on the site: to pages of the root, and from them into docs/."""

    def target(match: re.Match[str]) -> str:
        link, _, anchor = match[1].partition("#")
        if not link or ":" in link:
            return match[0]
        path = (folder / link).resolve()
        if path == DOCS:
            path = DOCS / "index.md"
        if path.parent == ROOT and path.name in OF_ROOT:
            path = DOCS / OF_ROOT[path.name]
        elif path.parent == ROOT and path.name in ("LICENSE", "CITATION.cff"):
            path = DOCS / f"{path.name}.txt"
        elif path.suffix == ".ipynb":
            path = path.with_suffix(".md")
        start = DOCS if folder == ROOT else folder
        return f"]({Path(os.path.relpath(path, start)).as_posix()}{'#' if anchor else ''}{anchor})"

    parts = CODE.split(text)
    return "".join(part if place % 2 else LINK.sub(target, part) for place, part in enumerate(parts))


def page_of(notebook: dict[str, Any], folder: Path) -> str:
    """A notebook as Markdown; its pictures are written into `folder`, which is beside the page and named like it."""
    parts, pictures = [], 0
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                folder.mkdir(parents=True, exist_ok=True)
                pictures += 1
                (folder / f"{pictures}.png").write_bytes(base64.b64decode("".join(data["image/png"])))
                parts.append(f"![Output]({folder.name}/{pictures}.png)")
            elif "text/html" in data:
                parts.append(f'<div class="output">{"".join(data["text/html"]).strip()}</div>')
            elif said := "".join(data.get("text/plain", output.get("text", ""))).rstrip():
                parts.append(f"```text\n{said}\n```")
    name = f"{folder.name}.ipynb"
    parts.append(f'<p class="source">This page is <a href="{name}" download>{name}</a>, as it ran.</p>')
    return "\n\n".join(parts) + "\n"


def build() -> int:
    """Gather and build; the exit status of the builder, which is not 0 where there was a warning."""
    if find_spec("zensical") is None or find_spec("mkdocstrings") is None:
        raise SystemExit('the site needs Zensical and mkdocstrings: pip install "degrade-enhance[docs]"')
    gather()
    shutil.rmtree(SITE, ignore_errors=True)
    command = [
        sys.executable,
        "-m",
        "zensical",
        "build",
        "--clean",
        "--strict",
        "--config-file",
        str(ROOT / "mkdocs.yml"),
    ]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(build())
