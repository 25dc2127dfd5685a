"""One bad image or name never ends `enhance apply`, `evaluate`, `segmenter` or `train`: it is told, and they go on."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import degrade
from cli.enhance import main
from degrade.images import image_io

ROOT = Path(__file__).parents[2]
LONG = "l" * 280


def run(*arguments, code=0):
    """What a command prints on stdout and on stderr; it must end with the expected status, and not by an exception."""
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == code, done.output
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Six photographs in `in`, and their vessels in `vessels`; in each a file that is no image, which comes first."""
    folder = tmp_path_factory.mktemp("photographs")
    pictures, vessels, _ = degrade.phantom.fundus(degrade.make_keys(0, 6), 64)
    for side, planes in (("in", pictures), ("vessels", vessels)):
        for number, plane in enumerate(planes):
            image_io.write(folder / side / f"p{number}.png", image_io.to_integer(plane))
        (folder / side / "bad.png").write_bytes(b"nothing")
    return folder


@pytest.fixture
def images(photographs, tmp_path):
    """The photographs, in a folder of the test's own."""
    shutil.copytree(photographs, tmp_path, dirs_exist_ok=True)
    return tmp_path / "in"


def good(folder):
    """Larger pictures and a file that is none, to fit a model to."""
    for number, picture in enumerate(degrade.phantom.chest(degrade.make_keys(0, 12), 96)[0]):
        image_io.write(folder / f"{number}.png", image_io.to_integer(picture))
    (folder / "bad.png").write_bytes(b"nothing")
    return folder


def shard(file, names):
    """A tar of the same picture under several names."""
    picture = image_io.encode(image_io.to_integer(degrade.phantom.chest(degrade.make_keys(0, 1), 64)[0][0]), "png")
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            about = tarfile.TarInfo(f"{name}.png")
            about.size = len(picture)
            tar.addfile(about, io.BytesIO(picture))
    return file


def failed(folder):
    return [json.loads(line) for line in (folder / "failed.jsonl").read_text().splitlines()]


class TestApply:
    def test_a_name_that_is_too_long(self, tmp_path):
        source = shard(tmp_path / "s.tar", ["a", LONG, "b"])
        said, _ = run("apply", "identity", source, tmp_path / "out")
        assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.png", "b.png", "failed.jsonl"}
        assert "1 images failed" in said
        assert "2 images written" in said
        (line,) = failed(tmp_path / "out")
        assert LONG in line["source"]
        assert "its name cannot be used in DEST: File name too long" in line["error"]
        assert LONG not in said  # the listing has it whole
        run("apply", "identity", source, tmp_path / "out", "--strict", code=1)

    def test_a_name_that_is_a_folder(self, tmp_path):
        (tmp_path / "out/a.png").mkdir(parents=True)
        run("apply", "identity", shard(tmp_path / "s.tar", ["a", "b"]), tmp_path / "out", "--overwrite")
        assert "Is a directory" in failed(tmp_path / "out")[0]["error"]
        assert (tmp_path / "out/b.png").exists()

    def test_a_long_line_in_a_list(self, images):
        (images.parent / "all.txt").write_text(f"in/p0.png\n{'x' * 300}.png\nin/{'y/' * 999}z.png\nin/p1.png\n")
        said, _ = run("apply", "identity", images.parent / "all.txt", images.parent / "out")
        assert "2 images failed" in said
        assert "2 images written" in said

    def test_a_name_that_is_no_text(self, images):
        os.rename(images / "p3.png", os.fsencode(images) + b"/\xff.png")
        os.rename(images / "bad.png", os.fsencode(images) + b"/bad\xfe.png")
        said, _ = run("apply", "identity", images, images.parent / "out")
        assert "6 images written" in said
        (line,) = failed(images.parent / "out")
        assert line["source"].startswith("bad")
        assert "1 images failed" in said

    def test_everything_failed(self, tmp_path):
        run("apply", "identity", shard(tmp_path / "s.tar", [LONG]), tmp_path / "out", code=1)

    def test_a_second_process_is_refused(self, tmp_path, monkeypatch):
        from degrade.files import LockedError

        def refuse(folder):
            raise LockedError(f"{str(folder)!r} is being written by another process")

        monkeypatch.setattr("cli.apply.locked", refuse)
        _, said = run("apply", "identity", shard(tmp_path / "s.tar", ["a"]), tmp_path / "out", code=1)
        assert said == f"Error: {str(tmp_path / 'out')!r} is being written by another process\n"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="names are UTF-16 there")
def test_names_that_the_locale_cannot_encode(tmp_path):
    """A list of failures on a terminal for ASCII, and names from a tar on a file system for ASCII."""
    source = shard(tmp_path / "s.tar", ["a", "\u4e2d\u6587", "b"])
    (tmp_path / "in").mkdir()
    (tmp_path / "in/\u4e2d.png").write_bytes(b"nothing")
    image_io.write(tmp_path / "in/c.png", torch.zeros(1, 32, 32, dtype=torch.uint8))
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii:strict"}
    for given, written in ((source, 2), (tmp_path / "in", 1)):
        out = tmp_path / f"out{written}"
        words = [sys.executable, "-m", "cli.enhance", "apply", "identity", given, out]
        done = subprocess.run(
            list(map(str, words)), capture_output=True, text=True, cwd=ROOT, env=os.environ | ascii_only, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert f"{written} images written" in done.stdout
        assert "1 images failed" in done.stdout
        assert len(failed(out)) == 1


class TestEvaluate:
    def table(self, folder, *arguments, **expected):
        said, errors = run("evaluate", "gaussian", *arguments, "--json", folder / "t.json", **expected)
        found = json.loads((folder / "t.json").read_text())
        rows = [line.split()[:2] for line in said.splitlines()[2:]]
        assert rows == [[name, str(len(found["images"]))] for name in ("degraded", "gaussian")]
        return found, errors

    @pytest.mark.slow
    @pytest.mark.parametrize("way", ["plain", "recipe", "reference", "niqe", "vessels"])
    def test_a_bad_image(self, images, way):
        """It comes first: what all are judged by."""
        folder = images.parent
        arguments = {
            "plain": [],
            "recipe": ["--recipe", "cataract"],
            "reference": ["--reference", images],
            "niqe": ["--niqe", good(folder / "good"), "--size", 96],
            "vessels": ["--vessels", folder / "vessels", "--segmenter", _segmenter(folder)],
        }[way]
        found, errors = self.table(folder, images, *arguments)
        assert found["images"] == [f"p{number}" for number in range(6)]
        assert set(found["failed"]) == {"bad"}
        assert "1 images failed:\n  bad: " in errors
        if way == "niqe":
            assert "1 images of --niqe failed" in errors
            assert "NIQE" in found["summary"]["gaussian"]
        self.table(folder, images, *arguments, "--strict", code=1)

    def test_numbers_are_those_without_it(self, images):
        with_it, _ = self.table(images.parent, images, "--recipe", "cataract")
        (images / "bad.png").unlink()
        without, _ = self.table(images.parent, images, "--recipe", "cataract")
        assert with_it["values"] == without["values"]

    @pytest.mark.parametrize("recipe", [[], ["--recipe", "cataract"]])
    def test_one_that_is_too_small(self, images, recipe):
        """A recipe and a metric refuse it, after it has been read."""
        image_io.write(images / "p2b.png", torch.zeros(3, 8, 8, dtype=torch.uint8))
        found, _ = self.table(images.parent, images, *recipe)
        assert found["images"][:3] + found["images"][-3:] == ["p0", "p1", "p2", "p3", "p4", "p5"]
        assert ("p2b" in found["failed"]) != ("p2b" in found["images"])
        if recipe:
            assert set(found["failed"]) == {"bad", "p2b"}

    def test_a_reference_of_another_size(self, images):
        image_io.write(images.parent / "good/p1.png", torch.zeros(3, 32, 32, dtype=torch.uint8))
        image_io.write(images.parent / "good/p2.png", image_io.read(images / "p2.png"))
        found, _ = self.table(images.parent, images, "--reference", images.parent / "good")
        assert set(found["failed"]) == {"bad", "p1"}
        assert len(found["images"]) == 5
        assert sum(number is not None for number in found["values"]["degraded"]["PSNR"]) == 1

    def test_a_method_that_cannot_take_one(self, images, tmp_path):
        """A color image for a network of grey ones."""
        widths = ["--set", "width=4", "--set", "level_width=4", "--set", "crop=32", "--set", "batch_size=2"]
        chest = "phantom:chest?count=4&size=64"
        run("train", "xbdcnn", chest, "--out", tmp_path / "net", "--steps", 1, *widths, "--workers", 0, "--hold-out", 0)
        image_io.write(images / "grey.png", torch.zeros(1, 64, 64, dtype=torch.uint8))
        said, errors = run("evaluate", tmp_path / "net", images, "--json", tmp_path / "t.json")
        found = json.loads((tmp_path / "t.json").read_text())
        assert found["images"] == ["grey"]
        assert "a color image for a network of grey ones" in found["failed"]["p0"]
        assert all(len(column) == 1 for row in found["values"].values() for column in row.values())
        assert said.startswith("1 images")
        assert "7 images failed" in errors

    def test_nothing_is_left(self, tmp_path):
        (tmp_path / "in").mkdir()
        (tmp_path / "in/bad.png").write_bytes(b"nothing")
        for arguments in ([], ["--recipe", "cataract"]):
            said, errors = run("evaluate", "gaussian", tmp_path / "in", *arguments, code=1)
            assert said.startswith("0 images")
            assert "1 images failed" in errors
        words = ["evaluate", "identity", "phantom:chest?count=1&size=64", "--niqe", tmp_path / "in"]
        assert "no image of" in run(*words, code=2)[1]


def _segmenter(folder):
    from enhance.segmenter import VesselSegmenter, save_segmenter

    save_segmenter(VesselSegmenter(3, 4), folder / "s.safetensors")
    return folder / "s.safetensors"


class TestTraining:
    def test_a_segmenter(self, images):
        words = ["segmenter", images, images.parent / "s.safetensors", "--vessels", images.parent / "vessels"]
        small = ["--steps", 2, "--size", 64, "--crop", 64, "--width", 4]
        said, errors = run(*words, *small)
        assert "segmenter written" in said
        assert "1 images failed:\n  bad: " in errors
        run(*words, *small, "--strict", code=1)

    @pytest.mark.parametrize("strict", [False, True])
    def test_a_run(self, images, tmp_path, strict):
        widths = ["--set", "width=4", "--set", "level_width=4", "--set", "crop=32", "--set", "batch_size=2"]
        more = ["--set", "channels=3", "--set", "patches=1", "--workers", 0, "--hold-out", 0]
        words = ["train", "xbdcnn", images, "--out", tmp_path / "run", "--steps", 4, *widths, *more]
        said, errors = run(*words, *(["--strict"] if strict else []), code=int(strict))
        assert "is trained for 4 steps" in said
        assert "1 images failed" in errors
        assert [line["source"] for line in failed(tmp_path / "run")] == ["bad"]


SMALL = ["--set", "width=4", "--set", "level_width=4", "--set", "crop=32", "--set", "batch_size=2", "--workers", "1"]
CHEST, EYES = "phantom:chest?count=4&size=64", "phantom:fundus?count=5&size=64"
COMMANDS = {
    "apply": (["apply", "identity", CHEST], "out/chest_0000.png"),
    "evaluate": (["evaluate", "identity", CHEST, "--json"], "out"),
    "export": (["export", "RUN"], "out.pt2"),
    "segmenter": (["segmenter", EYES, "--steps", "1", "--size", "64", "--crop", "64"], "out.safetensors"),
    "train": (["train", "xbdcnn", CHEST, "--steps", "1", *SMALL, "--out"], "out/weights.safetensors"),
}


ALL_CLOSED = ">&- 2>&- <&-"


@pytest.mark.parametrize(
    ("name", "closed"),
    [
        ("apply", ">&-"),
        ("apply", ALL_CLOSED),
        pytest.param("train", "2>&-", marks=pytest.mark.slow),
        *(pytest.param(name, ALL_CLOSED, marks=pytest.mark.slow) for name in COMMANDS if name != "apply"),
    ],
)
def test_closed_streams(tmp_path, name, closed):
    """Python has no stdout and stderr then, and the next file to be opened gets their numbers."""
    words, made = COMMANDS[name]
    if name == "export":
        run("train", "xbdcnn", CHEST, "--steps", 1, *SMALL, "--out", tmp_path / "run")
        words = ["export", str(tmp_path / "run"), "--size", "32"]
    out = tmp_path / made.split("/")[0]
    line = shlex.join([sys.executable, "-m", "cli.enhance", *words, str(out)])
    done = subprocess.run(f"{line} {closed}", shell=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0
    assert (tmp_path / made).stat().st_size > 0
    if name == "train":
        lines = (out / "log.jsonl").read_text().splitlines()
        assert all(isinstance(json.loads(line), dict) for line in lines)  # nothing was printed into it
