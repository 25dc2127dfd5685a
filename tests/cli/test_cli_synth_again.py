"""`degrade synth` a second time: after a crash, with more images, into a folder that is not empty."""

from __future__ import annotations

import pytest

from degrade.pairs import making, writing
from tests.cli_runs import PHANTOMS, files, manifest, photograph, run


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    root = tmp_path_factory.mktemp("synth") / "pairs"
    run("synth", PHANTOMS, root, "--views", 2, "--seed", 5)
    return root


def test_a_torn_manifest_line_is_made_again(pairs, tmp_path):
    root = tmp_path / "out"
    run("synth", PHANTOMS, root, "--views", 2, "--seed", 5)
    lines = (root / "manifest.jsonl").read_bytes()
    (root / "manifest.jsonl").unlink()
    (root / "manifest.part0.jsonl").write_bytes(lines[: lines.rfind(b'"view": 1')])
    (root / "clean/.0123456789abcdef.tmp").write_bytes(b"half a file")
    run("synth", PHANTOMS, root, "--views", 2, "--seed", 5, "--resume")
    assert files(root) == files(pairs)
    (root / "degraded/fundus_0001_v1.png").unlink()
    run("synth", PHANTOMS, root, "--views", 2, "--seed", 5, "--resume")
    assert files(root) == files(pairs)


def test_resume_refuses_other_settings(pairs):
    before = files(pairs)
    output = run("synth", PHANTOMS, pairs, "--seed", 6, "--set", "brightness=1", "--resume", code=2).output
    for said in ("seed = 5 (now 6)", "views = 2 (now 1)", "brightness"):
        assert said in output
    output = run("synth", PHANTOMS, pairs, "--recipe", "cataract", "--seed", 5, "--views", 2, "--resume", code=2).output
    assert "recipe = cofe-net (now cataract)" in output
    output = run("synth", PHANTOMS, pairs, "--seed", 5, "--views", 2, "--limit", 1, "--resume", code=2).output
    assert "fundus_0001" in output
    assert files(pairs) == before


def test_resume_goes_on_with_more_images(pairs, tmp_path):
    run("synth", PHANTOMS, tmp_path / "out", "--seed", 5, "--views", 2, "--limit", 1)
    result = run("synth", PHANTOMS, tmp_path / "out", "--seed", 5, "--views", 2, "--resume")
    assert "1 images were there already" in result.output
    assert files(tmp_path / "out") == files(pairs)


def test_a_folder_in_use_is_refused(pairs, tmp_path):
    before = files(pairs)
    output = run("synth", PHANTOMS, pairs, code=2).output
    assert "--resume" in output
    assert "--overwrite" in output
    assert files(pairs) == before
    (tmp_path / "file").write_text("")
    run("synth", PHANTOMS, tmp_path / "file", code=2)


def test_overwrite_deletes_only_its_own(tmp_path):
    root = tmp_path / "out"
    run("synth", PHANTOMS, root)
    (root / "mine.txt").write_text("mine")
    run("synth", PHANTOMS, root, "--overwrite", "--limit", 1)
    assert (root / "mine.txt").read_text() == "mine"
    assert len(manifest(root)) == 1
    assert len(list((root / "clean").iterdir())) == 1
    foreign = tmp_path / "foreign"
    (foreign / "clean").mkdir(parents=True)
    (foreign / "clean" / "mine.png").write_text("mine")
    (foreign / "recipe.toml").write_text('recipe = "cofe-net"')
    for flag in ("--overwrite", "--resume"):
        assert "no data set" in run("synth", PHANTOMS, foreign, flag, code=2).output
    assert files(foreign) == {"clean/mine.png": b"mine", "recipe.toml": b'recipe = "cofe-net"'}


def test_source_and_dest_must_be_apart(tmp_path):
    photograph(tmp_path / "source/a.png")
    run("synth", tmp_path / "source", tmp_path / "source", "--overwrite", code=2)
    run("synth", tmp_path / "source", tmp_path / "source/out", code=2)
    run("synth", tmp_path / "source", tmp_path / "out")
    for source in (tmp_path / "out/clean", tmp_path / "out/clean/a.png"):
        run("synth", source, tmp_path / "out", "--overwrite", code=2)
    assert (tmp_path / "out/clean/a.png").exists()


def test_a_failed_write_ends_the_run_with_advice(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(writing, "write_bytes", full)
    output = run("synth", PHANTOMS, tmp_path / "out", code=1).output
    assert "the disk is full" in output
    assert "--resume" in output


def test_ctrl_c_tells_how_to_go_on(pairs, tmp_path, monkeypatch):
    honest, calls = making.degrade_one, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return honest(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(making, "degrade_one", interrupted)
        output = run("synth", PHANTOMS, tmp_path / "out", "--views", 2, "--seed", 5, code=130).output
    assert "--resume" in output
    run("synth", PHANTOMS, tmp_path / "out", "--views", 2, "--seed", 5, "--resume")
    assert files(tmp_path / "out") == files(pairs)
