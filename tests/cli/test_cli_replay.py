"""`degrade replay` and `degrade recipes`."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import degrade
from degrade.images import image_io
from tests.cli_runs import PHANTOMS, equal, manifest, photograph, run

COFE_NET = {
    "type": "111",
    "params": {
        "size": 512,
        "illumination": {
            "color": {"brightness_factor": 0.8, "contrast_factor": 1.2, "saturation_factor": 0.9},
            "halo": {"num": 1, "center_a": [250, 240], "center_b": [250, 240], "dia_a": 400, "dia_b": 700},
            "hole": {
                "center": [200, 260],
                "diameter_circle": 260,
                "brightness_factor": -0.27,
                "rad_w": 151,
                "rad_h": 171,
                "sigma": 130.0,
            },
        },
        "spots": [{"center": [100, 300], "radius": 12, "rad_w": 7, "rad_h": 7, "sigma": 29.2}],
        "blur": {"sigma": 10.0, "rad_w": 5, "rad_h": 5},
    },
}


@pytest.mark.parametrize("recipe", degrade.RECIPES)
def test_every_view_of_every_recipe_bit_for_bit(recipe, tmp_path):
    source, root = tmp_path / "source", tmp_path / "pairs"
    photograph(source / "left/a.png", 1, size=80)
    photograph(source / "b.png", 2, bits=16)
    photograph(source / "c.png", 3, channels=1)
    run("synth", source, root, "--recipe", recipe, "--views", 3)
    assert len(manifest(root)) == 9
    for line in manifest(root):
        id_, view = line["id"], line["view"]
        out = tmp_path / "again" / f"{id_}_{view}.png"
        run("replay", f"{root / 'manifest.jsonl'}:{id_}:{view}", root / f"clean/{id_}.png", out)
        assert out.read_bytes() == (root / f"degraded/{id_}_v{view}.png").read_bytes()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    root = tmp_path_factory.mktemp("replay") / "pairs"
    run("synth", PHANTOMS, root, "--views", 2, "--type", "111", "--format", "jpeg")
    return root


def test_a_line_alone_and_its_parameters(pairs, tmp_path):
    line = manifest(pairs)[3]
    clean = pairs / f"clean/{line['id']}.png"
    (tmp_path / "line.json").write_text(json.dumps(line))
    (tmp_path / "parameters.json").write_text(json.dumps(line["parameters"]))
    for name in ("line", "parameters"):
        run("replay", tmp_path / f"{name}.json", clean, tmp_path / f"{name}.jpg")
        degraded = pairs / f"degraded/{line['id']}_v{line['view']}.jpg"
        assert (tmp_path / f"{name}.jpg").read_bytes() == degraded.read_bytes()


def test_mask(pairs, tmp_path):
    where = f"{pairs / 'manifest.jsonl'}:fundus_0000:0"
    image_io.write(
        tmp_path / "half.png", torch.zeros(1, 64, 64, dtype=torch.uint8).index_fill(2, torch.arange(32), 255)
    )
    run("replay", where, pairs / "clean/fundus_0000.png", tmp_path / "out.png", "--mask", tmp_path / "half.png")
    out = image_io.read(tmp_path / "out.png")
    assert out[..., 32:].max() == 0
    assert out[..., :32].max() > 0
    image_io.write(tmp_path / "small.png", torch.zeros(1, 40, 50, dtype=torch.uint8))
    arguments = (where, pairs / "clean/fundus_0000.png", tmp_path / "out.png", "--mask", tmp_path / "small.png")
    assert "50 x 40" in run("replay", *arguments, code=2).output


@pytest.mark.parametrize("published", [False, True])
def test_cofe_net_file(published, tmp_path):
    file = json.loads(json.dumps(COFE_NET))
    halo = file["params"]["illumination"]["halo"]
    if published:
        halo["style_num"] = halo.pop("num")
    (tmp_path / "parameters.json").write_text(json.dumps(file))
    photograph(tmp_path / "image.png", size=96)
    run("replay", tmp_path / "parameters.json", tmp_path / "image.png", tmp_path / "out.png")
    out, image = image_io.read(tmp_path / "out.png"), image_io.read(tmp_path / "image.png")
    assert out.shape == image.shape
    assert (out.int() - image.int()).abs().float().mean() > 2
    emulated = degrade.recipe("cofe-net", emulate_8bit=True, frame="image")
    clean = image_io.to_float(image)[None]
    expected = emulated.apply(clean, degrade.models.fundus.release.from_cofe_net(file))
    assert (image_io.to_integer(expected[0]).int() - out.int()).abs().max() <= 1


@pytest.mark.parametrize("name", ["13_left_s1", "15_right_s3"])
def test_release(name, golden, tmp_path):
    folder = golden / "cofe_net_release"
    image = name.rsplit("_", 1)[0]
    arguments = (folder / f"{name}.json", folder / f"{image}_clean.png", tmp_path / "out.png")
    run("replay", *arguments, "--mask", folder / f"{image}_mask.png")
    made = image_io.read(tmp_path / "out.png").numpy().astype(int)
    difference = np.abs(made - image_io.read(folder / f"{name}_final.png").numpy())
    assert difference.max() <= 2
    assert difference.mean() <= 0.1


def test_mistakes(pairs, tmp_path):
    clean, lines = pairs / "clean/fundus_0000.png", pairs / "manifest.jsonl"
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "text.json").write_text("none")
    (tmp_path / "less.json").write_text('{"brightness": 1.0}')
    (tmp_path / "wrong.json").write_text('{"type": "9"}')
    (tmp_path / "params.json").write_text('{"params": {}}')
    for parameters, said, code in (
        (f"{lines}:fundus_000:0", "did you mean fundus_000", 2),
        (f"{lines}:fundus_0000:7", "it has 0, 1", 2),
        (lines, ":ID:VIEW", 2),
        (tmp_path / "missing.json", "missing.json", 2),
        (tmp_path / "missing.jsonl:a:0", "missing.jsonl", 2),
        (tmp_path / "list.json", "JSON object", 2),
        (tmp_path / "text.json", "no JSON", 2),
        (tmp_path / "wrong.json", "type", 2),
        (tmp_path / "params.json", "neither illumination, spots nor blur", 2),
        (tmp_path / "less.json", "lack", 1),
    ):
        output = run("replay", parameters, clean, tmp_path / "out.png", code=code).output
        assert said in output
        assert output.count("\n") == 1
    assert "OUT" in run("replay", f"{lines}:fundus_0000:0", clean, tmp_path / "out.gif", code=2).output
    (tmp_path / "no.png").write_text("no image")
    run("replay", f"{lines}:fundus_0000:0", tmp_path / "no.png", tmp_path / "out.png", code=1)
    assert not (tmp_path / "out.png").exists()


def test_recipes():
    output = run("recipes").output
    for name, preset in degrade.RECIPES.items():
        assert name in output
        assert preset.summary in output
        text = run("recipes", name).output
        assert degrade.recipe(text).settings == degrade.recipe(name).settings
    assert "did you mean cofe-net?" in run("recipes", "cofenet", code=2).output


def test_sixteen_bits_stay(tmp_path):
    photograph(tmp_path / "deep.png", bits=16)
    (tmp_path / "parameters.json").write_text(json.dumps(COFE_NET))
    run("replay", tmp_path / "parameters.json", tmp_path / "deep.png", tmp_path / "out.png")
    assert image_io.read(tmp_path / "out.png").dtype == torch.uint16
    run("replay", tmp_path / "parameters.json", tmp_path / "deep.png", tmp_path / "out.jpg")
    assert not equal(tmp_path / "out.jpg", tmp_path / "out.png")


def test_a_mask_of_ones(pairs, tmp_path):
    where, clean = f"{pairs / 'manifest.jsonl'}:fundus_0000:0", pairs / "clean/fundus_0000.png"
    for white in (1, 255):
        image_io.write(tmp_path / f"mask{white}.png", torch.full((1, 64, 64), white, dtype=torch.uint8))
        run("replay", where, clean, tmp_path / f"out{white}.png", "--mask", tmp_path / f"mask{white}.png")
    assert equal(tmp_path / "out1.png", tmp_path / "out255.png")
