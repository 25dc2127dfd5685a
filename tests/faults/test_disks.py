"""Every command on a full disk and on a read-only one: one line that says what and where, exit code 1, no traceback.

Root ignores mode bits, so the disks are real ones: a tmpfs of a megabyte and a read-only bind mount, in a mount
namespace of the test's own.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import degrade
from degrade.images import image_io
from tests.cli_runs import photograph, run
from tests.faults.conftest import Tally

ROOT = Path(__file__).parents[2]
TINY = "--set width=8 --set level_width=8 --set crop=32 --set batch_size=2 --devices cpu --workers 0"
LINES = {
    "synth": "cli.degrade synth {source} {dest}/pairs --views 4",
    "preview": "cli.degrade preview {source} {dest}/sheet.png --limit 2",
    "replay": "cli.degrade replay {source}/../line.json {source}/0.png {dest}/again.png",
    "fit noise": "cli.degrade fit noise {grey} --out {dest}/fitted.toml --plot {dest}/plot.png",
    "check": "cli.degrade check x-bdcnn --samples 20000 --plot {dest}/check.png",
    "train": f"cli.enhance train xbdcnn phantom:chest?count=4&size=64 --out {{dest}}/run --steps 2 --hold-out 0 {TINY}",
    "apply": "cli.enhance apply gaussian {source} {dest}/enhanced",
    "evaluate": "cli.enhance evaluate gaussian {source} --recipe cofe-net --limit 2 --json {dest}/t.json "
    "--sheet {dest}/s.png",
    "segmenter": "cli.enhance segmenter phantom:fundus?count=4&size=64 {dest}/s.safetensors --steps 1 --size 64 "
    "--crop 64 --width 4",
    "export": "cli.enhance export {run} {dest}/network.pt2 --size 64",
}
FULL = "mount -t tmpfs -o size=64k tmpfs {dest} && head -c 60k /dev/zero > {dest}/filler"
READ_ONLY = "mount --bind {dest} {dest} && mount -o remount,ro,bind {dest}"


def _unshare_works() -> bool:
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"]
    return subprocess.run(command, capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(not _unshare_works(), reason="needs unshare -rm, to mount disks of the test's own")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("disks")
    for number in range(6):
        photograph(root / f"source/{number}.png", number, size=128)
    keys = degrade.make_keys(0, 4)
    noisy = degrade.recipe("x-bdcnn", eta=1.0, sigma=5.0)(degrade.phantom.chest(keys, 256)[0], keys)
    for number, image in enumerate(noisy):
        image_io.write(root / f"grey/{number}.png", image_io.to_integer(image))
    (root / "line.json").write_text('{"type": "100", "blur_sigma": 0.01}')
    run("synth", root / "source", root / "pairs", "--limit", 1)
    (root / "line.json").write_text((root / "pairs/manifest.jsonl").read_text())
    words = LINES["train"].format(dest=root).split()
    subprocess.run([sys.executable, "-m", *words], cwd=ROOT, check=True, capture_output=True)
    return {"source": root / "source", "grey": root / "grey", "run": root / "run"}


@pytest.mark.parametrize("disk", [FULL, READ_ONLY], ids=["full", "read-only"])
@pytest.mark.parametrize(
    "name", [name if name == "preview" else pytest.param(name, marks=pytest.mark.slow) for name in LINES]
)
def test_one_line(name: str, disk: str, places: dict[str, Path], tmp_path: Path, tally: Tally) -> None:
    dest = tmp_path / "dest"
    dest.mkdir()
    before = sorted(path.name for path in places["source"].iterdir())
    words = [word.format(dest=dest, **places) for word in LINES[name].split()]
    command = f"{disk.format(dest=shlex.quote(str(dest)))} && exec {shlex.join([sys.executable, '-m', *words])}"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    said = done.stderr.strip().splitlines()
    problem = ""
    if done.returncode != 1:
        problem = f"exit code {done.returncode}"
    elif "Traceback" in done.stderr or "Aborted" in done.stderr:
        problem = "a traceback"
    elif not any(what in said[-1] for what in ("disk is full", "read-only")) or str(dest) not in said[-1]:
        problem = "the last line does not say what and where"
    elif sorted(path.name for path in places["source"].iterdir()) != before:
        problem = "it changed SOURCE"
    tally.count(f"{name}: {problem}\n{done.stdout[-500:]}{done.stderr[-1500:]}" if problem else "")


@pytest.mark.parametrize("name", ["preview", "replay", "fit noise"])  # of enhance: tests/cli/test_cli_disks.py
def test_a_destination_that_cannot_be_a_folder(
    name: str, places: dict[str, Path], tmp_path: Path, tally: Tally
) -> None:
    """The folder of OUT is a file: said before any work, or in one line after it."""
    dest = tmp_path / "file"
    dest.write_text("")
    words = [word.format(dest=dest, **places) for word in LINES[name].split()]
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=300)
    fine = done.returncode in (1, 2) and "Traceback" not in done.stderr and str(dest) in done.stderr
    tally.count("" if fine else f"{name}: exit code {done.returncode}\n{done.stderr[-1500:]}")
