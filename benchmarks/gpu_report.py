"""One report of everything that only a GPU tells: the tests marked gpu, every table, CUDA graphs among them."""

from __future__ import annotations

import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from benchmarks import report
from benchmarks.machine import machine
from benchmarks.timing import Row

ROOT = Path(__file__).parents[1]
NO_GPU = (
    "no CUDA device: this report is for a machine with a GPU; the other tables are python -m benchmarks degrade ..."
)


def write(
    out: Path,
    tables: dict[str, Callable[[], list[Row]]],
    say: Callable[[str], object] = print,
    tests: Iterable[str] = ("-m", "gpu", "tests"),
) -> Path:
    """Run the tests and the tables, and write report.md and report.json after each, so that a crash loses nothing.

    Args:
        out: folder, made as needed.
        tables: titles to functions.
        say: takes a line of progress.
        tests: arguments for pytest.

    Returns:
        the path of report.md. What fails is in it as the last line of its error.
    """
    out.mkdir(parents=True, exist_ok=True)
    facts: dict[str, Any] = {**machine(), **_accelerator()}
    results: dict[str, Any] = {}
    say("pytest -m gpu")
    passed = _tests(list(tests))
    _write(out, facts, passed, results)
    for title, table in tables.items():
        say(title)
        try:
            results[title] = table()
        except Exception:  # the other tables are worth having all the same
            results[title] = traceback.format_exc().strip().splitlines()[-1]
        _write(out, facts, passed, results)
    return out / "report.md"


def _accelerator() -> dict[str, Any]:
    if not torch.cuda.is_available():
        return {}
    properties = torch.cuda.get_device_properties(0)
    return {
        "compute capability": f"{properties.major}.{properties.minor}",
        "memory, GiB": round(properties.total_memory / 2**30),
        "CUDA": torch.version.cuda,
    }


def _tests(arguments: list[str]) -> str:
    """The last lines of pytest."""
    if find_spec("pytest") is None:
        return "not run: pytest is not installed"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return "\n".join([*ended.stdout.strip().splitlines()[-12:], f"exit status {ended.returncode}"])


def _write(out: Path, facts: dict[str, Any], tests: str, results: dict[str, Any]) -> None:
    parts = ["# On a GPU", "; ".join(f"{name} {fact}" for name, fact in facts.items())]
    parts += ["## Tests marked gpu", f"```\n{tests}\n```"]
    for title, rows in results.items():
        parts += [f"## {title}", rows if isinstance(rows, str) else report.markdown(rows)]
    (out / "report.md").write_text("\n\n".join(parts) + "\n")
    (out / "report.json").write_text(report.as_json({"machine": facts, "tests": tests, "tables": results}) + "\n")
