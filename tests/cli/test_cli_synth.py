"""`degrade synth`: what it writes, what it refuses, and that nothing but the settings decides the bytes."""

from __future__ import annotations

import json
import tomllib

import numpy as np
import pytest
import torch

import degrade
from degrade.images import image_io
from degrade.records import from_record
from tests.cli_runs import PHANTOMS, equal, failures, files, manifest, photograph, run


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    root = tmp_path_factory.mktemp("synth") / "pairs"
    run("synth", PHANTOMS, root, "--views", 2, "--seed", 5)
    return root


def test_outputs(pairs):
    ids = [f"fundus_{i:04d}" for i in range(3)]
    expected = {f"clean/{i}.png" for i in ids} | {f"mask/{i}.png" for i in ids}
    expected |= {f"degraded/{i}_v{k}.png" for i in ids for k in (0, 1)} | {"manifest.jsonl", "recipe.toml"}
    assert files(pairs).keys() == expected
    mask = image_io.read(pairs / "mask/fundus_0000.png")
    assert mask.shape == (1, 64, 64)
    assert set(mask.unique().tolist()) == {0, 255}


def test_manifest_and_pictures_are_those_of_the_library(pairs):
    lines = manifest(pairs)
    assert [(line["id"], line["view"]) for line in lines] == [(f"fundus_{i:04d}", k) for i in range(3) for k in (0, 1)]
    d = degrade.recipe(pairs / "recipe.toml")
    for line in lines:
        key = degrade.make_keys(5, [line["id"]], view=line["view"])
        assert line["key"] == str(key.item())
        drawn, noted = d.draw(key, 64, 64), from_record(d.parameter_table, line["parameters"])
        assert drawn.keys() == noted.keys()
        assert all(torch.equal(drawn[name], noted[name]) for name in drawn)
        clean = image_io.to_float(image_io.read(pairs / f"clean/{line['id']}.png"))[None]
        degraded = image_io.to_integer(d(clean, key, degrade.fov.estimate(clean))[0])
        written = image_io.read(pairs / f"degraded/{line['id']}_v{line['view']}.png")
        assert (degraded.int() - written.int()).abs().max() <= 1  # rounding, by the number of threads


def test_recipe_file_says_how(pairs, tmp_path):
    made = tomllib.loads((pairs / "recipe.toml").read_text())
    assert made["synth"] == {"seed": 5, "views": 2, "format": "png", "version": degrade.__version__}
    run("synth", PHANTOMS, tmp_path / "again", "--views", 2, "--seed", 5, "--recipe", pairs / "recipe.toml")
    assert files(tmp_path / "again") == files(pairs)


@pytest.mark.parametrize("options", [("--workers", 1), ("--workers", 5, "--batch-size", 2)])
def test_workers_and_batches_change_no_byte(pairs, tmp_path, options):
    run("synth", PHANTOMS, tmp_path / "out", "--views", 2, "--seed", 5, *options)
    assert files(tmp_path / "out") == files(pairs)


def test_fewer_views_and_images_are_a_part(pairs, tmp_path):
    run("synth", PHANTOMS, tmp_path / "out", "--seed", 5, "--limit", 2)
    whole = files(pairs)
    part = {name: data for name, data in files(tmp_path / "out").items() if name.endswith(".png")}
    assert len(part) == 6
    assert all(whole[name] == data for name, data in part.items())


def test_folder_ids_mirror_paths_and_stay_apart(tmp_path):
    source = tmp_path / "source"
    names = ["b.png", "left/a.png", "right/a.png", "same.jpg", "same.png", "Same.bmp", "odd name.v1.png", ".hidden.png"]
    for seed, name in enumerate(names):
        if name.endswith(".bmp"):
            image_io.write(source / "x.png", torch.full((3, 40, 40), 90, dtype=torch.uint8))
            (source / "x.png").rename(source / name)
        else:
            photograph(source / name, seed)
    (source / "notes.txt").write_text("no image")
    (source / "left" / "Thumbs.db").write_bytes(b"no image")
    result = run("synth", source, tmp_path / "out")
    assert "2 other files ignored" in result.output
    lines = manifest(tmp_path / "out")
    assert {line["source"]: line["id"] for line in lines} == {
        "Same.bmp": "Same_bmp",
        "b.png": "b",
        "odd name.v1.png": "odd name.v1",
        "same.jpg": "same_jpg",
        "same.png": "same_png",
        "left/a.png": "left/a",
        "right/a.png": "right/a",
    }
    assert [line["source"] for line in lines] == sorted((x["source"] for x in lines), key=lambda s: ("/" in s, s))
    assert equal(tmp_path / "out/clean/left/a.png", source / "left/a.png")  # no square: as it was


def test_list(tmp_path):
    folder = tmp_path / "lists"
    photograph(folder / "one.png")
    photograph(tmp_path / "outside.png", 1)
    (folder / "absolute.png").write_bytes((tmp_path / "outside.png").read_bytes())
    lines = ["# a comment", "", "one.png", "../outside.png", str(folder / "absolute.png"), "one.png", "missing.png"]
    (folder / "list.txt").write_text("\n".join(lines))
    run("synth", folder / "list.txt", tmp_path / "out")
    found = [(line["id"], line["source"]) for line in manifest(tmp_path / "out")]
    assert found == [("one", "one.png"), ("outside", "../outside.png"), ("absolute", "absolute.png")]
    assert failures(tmp_path / "out").keys() == {"missing.png"}
    assert str(tmp_path) not in (tmp_path / "out/failed.jsonl").read_text()
    assert not (tmp_path / "outside_v0.png").exists()


def test_broken_inputs_cost_a_line_each(tmp_path):
    source = tmp_path / "source"
    good = photograph(source / "good.png").read_bytes()
    (source / "truncated.png").write_bytes(good[: len(good) // 2])
    (source / "empty.jpg").write_bytes(b"")
    (source / "text.png").write_text("this is no picture")
    image_io.write(source / "small.png", torch.zeros(3, 20, 20, dtype=torch.uint8))
    image_io.write(source / "bomb.png", torch.zeros(1, 400, 400, dtype=torch.uint8))
    result = run("synth", source, tmp_path / "out", "--max-pixels", 10_000)
    failed = failures(tmp_path / "out")
    assert list(failed) == ["bomb.png", "empty.jpg", "small.png", "text.png", "truncated.png"]
    assert all("\n" not in error and str(tmp_path) not in error for error in failed.values())
    assert "32" in failed["small.png"]
    assert all(f"{name}: {error}" in result.output for name, error in failed.items())
    assert [line["id"] for line in manifest(tmp_path / "out")] == ["good"]
    assert {name for name in files(tmp_path / "out") if name.endswith(".png")} == {
        "clean/good.png",
        "degraded/good_v0.png",
        "mask/good.png",
    }
    run("synth", source, tmp_path / "strict", "--max-pixels", 10_000, "--strict", code=1)
    assert files(tmp_path / "strict") == files(tmp_path / "out")
    (source / "truncated.png").write_bytes(good)  # what failed is tried again
    run("synth", source, tmp_path / "out", "--max-pixels", 10_000, "--resume")
    assert "truncated.png" not in failures(tmp_path / "out")
    assert [line["id"] for line in manifest(tmp_path / "out")] == ["good", "truncated"]


def test_nothing_to_do_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.md").write_text("nothing")
    assert "1 other files" in run("synth", tmp_path / "empty", tmp_path / "out", code=2).output
    assert "does not exist" in run("synth", tmp_path / "missing", tmp_path / "out", code=2).output
    assert not (tmp_path / "out").exists()
    run("synth", tmp_path / "empty" / "notes.md", tmp_path / "out", code=1)  # every image failed
    assert failures(tmp_path / "out").keys() == {"notes.md"}


def test_depth_and_channels(tmp_path):
    source = tmp_path / "source"
    photograph(source / "deep.png", bits=16)
    photograph(source / "grey.png", channels=1)
    photograph(source / "deepgrey.png", bits=16, channels=1)
    run("synth", source, tmp_path / "png")
    run("synth", source, tmp_path / "jpeg", "--format", "jpeg")
    run("synth", source, tmp_path / "webp", "--format", "webp")
    for name, dtype, channels in (
        ("deep", torch.uint16, 3),
        ("grey", torch.uint8, 1),
        ("deepgrey", torch.uint16, 1),
    ):
        assert equal(tmp_path / f"png/clean/{name}.png", source / f"{name}.png")
        assert equal(tmp_path / f"jpeg/clean/{name}.png", source / f"{name}.png")
        degraded = image_io.read(tmp_path / f"png/degraded/{name}_v0.png")
        assert (degraded.dtype, len(degraded)) == (dtype, channels)
        assert image_io.read(tmp_path / f"jpeg/degraded/{name}_v0.jpg").dtype == torch.uint8
        assert image_io.read(tmp_path / f"webp/degraded/{name}_v0.webp").dtype == torch.uint8
    deep = image_io.read(tmp_path / "png/degraded/deep_v0.png").numpy()
    assert len(np.unique(deep % 257)) > 100  # truly 16 bits


def test_size(tmp_path):
    source = photograph(tmp_path / "source/a.png", size=96)
    run("synth", source, tmp_path / "out", "--size", 48)
    for name in ("clean/a.png", "degraded/a_v0.png", "mask/a.png"):
        assert image_io.read(tmp_path / "out" / name).shape[-2:] == (48, 48)
    assert tomllib.loads((tmp_path / "out/recipe.toml").read_text())["synth"]["size"] == 48


def test_settings(tmp_path):
    options = ["--type", "011", "--set", "brightness=0.8", "--set", "spot_count=2,3", "--set", "exact=true"]
    run("synth", PHANTOMS, tmp_path / "out", *options)
    for line in manifest(tmp_path / "out"):
        assert line["parameters"]["type"] == "011"
        assert line["parameters"]["brightness"] == 0.8
        assert line["parameters"]["spot_count"] in (2, 3)
    assert degrade.recipe(tmp_path / "out/recipe.toml").settings["exact"] is True


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--set", "britness=1"), "did you mean brightness?"),
        (("--set", "brightness"), "NAME=VALUE"),
        (("--set", "brightness=9"), "[0, 3]"),
        (("--set", "brightness=0.5,much"), "allowed is a number or a pair"),
        (("--set", "brightness=1,0.5"), "brightness"),
        (("--set", "citation=me"), "unknown setting 'citation'"),
        (("--type", "5"), "'--type'"),
        (("--type", "111", "--set", "type=011"), "one of them"),
        (("--type", "111", "--recipe", "cataract"), "no types"),
        (("--recipe", "cofenet"), "did you mean cofe-net?"),
        (("--recipe", "missing.toml"), "missing.toml"),
        (("--device", "gpu"), "allowed is auto, cpu, cuda"),
        (("--resume", "--overwrite"), "one of them"),
        (("--views", "0"), "--views"),
        (("--format", "gif"), "png"),
    ],
)
def test_mistakes_are_told_in_a_line(tmp_path, options, said):
    output = run("synth", PHANTOMS, tmp_path / "out", *options, code=2).output
    assert said in output
    assert "Traceback" not in output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "source", ["phantom:fundis", "phantom:fundus?size=8", "phantom:fundus?n=8", "phantom:fundus?count=x"]
)
def test_phantom_mistakes(tmp_path, source):
    assert "SOURCE" in run("synth", source, tmp_path / "out", code=2).output


def test_manifest_is_json_by_the_line(pairs):
    first = json.loads((pairs / "manifest.jsonl").read_text().splitlines()[0])
    assert list(first) == ["id", "view", "source", "key", "pixels", "version", "backend", "files", "parameters"]
    assert (first["version"], first["backend"]) == (degrade.__version__, "cpu")
