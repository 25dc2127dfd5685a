"""What `enhance` leaves on a full disk, and destinations that cannot be; each command: tests/faults/test_disks.py."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import pytest

import degrade
from degrade.images import image_io
from enhance.checkpoints import read_weights
from enhance.segmenter import load_segmenter
from tests.cli.test_cli_train import SMALL, enhance
from tests.disks import run, told

CHEST, EYES = "phantom:chest?count=5&size=64", "phantom:fundus?count=5&size=64"
TINY = [*SMALL, "--hold-out", 0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    enhance("train", "xbdcnn", CHEST, *TINY, "--out", folder, "--steps", 2)
    return folder


@pytest.fixture
def disk(tmp_path):
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


def commands(run, disk):
    """Each command, and the file or folder that it writes."""
    small = ["--steps", 2, "--size", 64, "--crop", 64, "--width", 4]
    return {
        "train": (["train", "xbdcnn", CHEST, *TINY, "--steps", 2, "--out", disk / "new"], disk / "new"),
        "apply": (["apply", "gaussian", CHEST, disk / "enhanced"], disk / "enhanced"),
        "evaluate": (["evaluate", "gaussian", CHEST, "--json", disk / "t.json"], disk / "t.json"),
        "sheet": (["evaluate", "gaussian", CHEST, "--sheet", disk / "t.png"], disk / "t.png"),
        "export": (["export", run, disk / "x.pt2", "--size", 32], disk / "x.pt2"),
        "segmenter": (["segmenter", EYES, disk / "s.safetensors", *small], disk / "s.safetensors"),
    }


NAMES = list(commands(Path(), Path()))


@pytest.mark.parametrize("name", NAMES)
def test_a_destination_in_a_file(trained, disk, name):
    """The folder that it would be in is no folder."""
    disk.rmdir()
    disk.write_text("a file")
    words, _ = commands(trained, disk)[name]
    said = enhance(*words, code=1).splitlines()
    assert len([line for line in said if line.startswith("Error: ")]) == 1
    assert str(disk) in said[-1]
    assert "Not a directory" in said[-1] or "exists" in said[-1].lower()
    assert disk.read_text() == "a file"


@pytest.mark.parametrize("name", ["evaluate", "sheet", "export", "segmenter"])
def test_a_folder_in_the_way(trained, disk, name):
    words, out = commands(trained, disk)[name]
    out.mkdir()
    assert "is a directory" in enhance(*words, code=2)
    assert not list(out.iterdir())


@pytest.mark.slow
class TestWhatIsSafe:
    def test_a_run_goes_on(self, trained, disk):
        """Room for what a run writes down, and for no checkpoint."""
        shutil.copytree(trained, disk / "run")
        words = ["enhance", "train", "--resume", "--out", disk / "run", "--steps", 6, "--save-every", 1]
        done = run(words, full=disk, room=40_000, after=["sh", "-c", f"cp -a {disk}/run {disk.parent}/after"])
        error = told(done, "the disk is full", "The last checkpoint is whole. To go on: enhance train --resume --out")
        assert str(disk / "run") in error
        assert read_weights(disk.parent / "after").step >= 2
        said = enhance("train", "--resume", "--out", disk.parent / "after", "--steps", 6)
        assert "is trained for 6 steps" in said

    def test_images_that_are_there_are_whole(self, disk):
        for number in range(6):
            picture = degrade.phantom.chest(degrade.make_keys(number, 1), 128)[0][0]
            image_io.write(disk.parent / "in" / f"{number}.png", image_io.to_integer(picture))
        words = ["enhance", "apply", "gaussian", disk.parent / "in", disk / "out"]
        done = run(words, full=disk, room=40_000, after=["sh", "-c", f"cp -a {disk}/out {disk.parent}/after"])
        told(done, "the disk is full", "The images that are there are whole: the same command goes on")
        there = list((disk.parent / "after").glob("*.png"))
        assert 0 < len(there) < 6
        assert all(image_io.read(path).shape == (1, 128, 128) for path in there)
        said = enhance("apply", "gaussian", disk.parent / "in", disk.parent / "after")
        assert f"{6 - len(there)} images written" in said

    def test_a_segmenter_is_not_lost(self, disk):
        """The disk has filled up while it was trained."""
        words = commands(Path(), disk)["segmenter"][0]
        done = run([sys.executable, "-c", FILLS, disk, *words], full=disk, room=600_000)
        error = told(done, "the disk is full", "The result is in", "instead: move it from there")
        instead = Path(error.split("The result is in '")[1].split("'")[0])
        try:
            options = load_segmenter(instead).options
            assert (options["channels"], options["width"]) == (3, 4)
        finally:
            instead.unlink()

    def test_an_export_leaves_the_old_file(self, trained, disk):
        (disk / "x.pt2").write_bytes(b"an older one")
        words = ["enhance", "export", trained, disk / "x.pt2", "--size", 32]
        done = run(words, full=disk, room=8192, after=["cat", disk / "x.pt2"])
        told(done, "the disk is full", "The checkpoint is untouched")
        assert done.stdout == "an older one"


FILLS = """
import shutil, sys
import cli.segmenter
from cli.enhance import main
folder, *words = sys.argv[1:]
train = cli.segmenter.train_segmenter
def fill(*arguments, **options):
    network = train(*arguments, **options)
    with open(folder + "/fill", "wb") as file:
        file.write(bytes(shutil.disk_usage(folder).free))
    return network
cli.segmenter.train_segmenter = fill
main(words)
"""


@pytest.mark.slow
def test_a_full_stdout():
    words = shlex.join([sys.executable, "-m", "cli.enhance", "evaluate", "gaussian", CHEST])
    told(run(["sh", "-c", f"{words} > /dev/full"]), "cannot write to stdout", "the disk is full")
