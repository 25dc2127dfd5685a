"""What a wheel installs, and that it works from there alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the wheel installs, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("degrade", "enhance", "cli", "tests", "benchmarks"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    built = subprocess.run(
        [*pip, "wheel", "--no-deps", "-w", str(folder / "wheels"), str(source)], capture_output=True, text=True
    )
    if built.returncode and "setuptools" in built.stderr and "No matching distribution" in built.stderr:
        pytest.skip("building a wheel needs setuptools from a package index, and none can be reached")
    assert built.returncode == 0, built.stderr[-2000:]
    (wheel,) = (folder / "wheels").glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True)
    return folder / "site"


def python(installed: Path, code: str, *arguments: str) -> str:
    """Run code with the wheel's folder and the dependencies on the path; `-S` keeps this checkout out."""
    paths = [str(installed), sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]]
    start = f"import sys; sys.path[:0] = {paths!r}; sys.argv[1:] = {list(arguments)!r}\n"
    run = subprocess.run([sys.executable, "-I", "-S", "-c", start + code], cwd="/", capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout


def test_a_wheel_has_no_common_names(installed: Path) -> None:
    names = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info") and path.name != "bin"}
    assert names == {"degrade", "enhance", "degrade_cli"}
    assert {path.name for path in (installed / "bin").iterdir()} == {"degrade", "enhance"}
    assert (installed / "degrade/py.typed").exists()
    assert {path.name for path in (ROOT / "cli/studio").iterdir() if path.is_file()} == {
        path.name for path in (installed / "degrade_cli/studio").iterdir() if path.is_file()
    }
    assert {path.relative_to(ROOT) for path in (ROOT / "degrade").rglob("*.py")} == {
        path.relative_to(installed) for path in (installed / "degrade").rglob("*.py")
    }


def test_the_commands_work(installed: Path) -> None:
    code = "import degrade_cli; from degrade_cli.degrade import main; main()"
    assert "cofe-net" in python(installed, code, "recipes")
    code = "from degrade_cli.enhance import main; main()"
    assert "pcenet" in python(installed, code, "networks")


def test_networks_come_with_it(installed: Path) -> None:
    said = python(
        installed, "import enhance, torch; print(enhance.pretrained('xbdcnn-small')(torch.rand(1, 1, 32, 32))[0].shape)"
    )
    assert "[1, 1, 32, 32]" in said
    assert {file.name for file in (installed / "enhance/weights").iterdir()} == {
        "pcenet-small.safetensors",
        "xbdcnn-small.safetensors",
    }


def test_a_first_picture(installed: Path) -> None:
    code = """
import degrade
image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, 1), 64)
print(degrade.__file__, tuple(degrade.recipe("cofe-net")(image, degrade.make_keys(0, 1), mask).shape))
"""
    said = python(installed, code)
    assert str(installed) in said
    assert "(1, 3, 64, 64)" in said
