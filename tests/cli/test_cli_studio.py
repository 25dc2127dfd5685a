"""`degrade studio` without a browser: state in, picture out; what can be taken away and what is refused."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import torch

import degrade
from cli import sources
from cli.options import read_recipe
from cli.studio import picture, sliders, words
from cli.studio.images import Images, Opened, fitted
from degrade.images import image_io
from degrade.settings import Choice, Range, ends
from degrade.stream import open_source
from tests.cli_runs import photograph, run, uri_pixels


@pytest.fixture(scope="module")
def opened() -> Opened:
    """A small photograph that is no square."""
    image = degrade.phantom.fundus(degrade.make_keys(0, 1), 96)[0][0, :, :, 5:]
    return Opened(image_io.to_integer(image), "left/01", "photographs/", "image")


def test_the_picture_is_that_of_degrade(opened: Opened) -> None:
    for recipe in degrade.RECIPES:
        made = picture.answer(picture.State("", recipe, seed=3), opened)
        expected = degrade.degrade(opened.image, recipe, seed=3, id="left/01")
        assert torch.equal(uri_pixels(made["degraded"]), expected), recipe
    assert made["key"] == str(int(degrade.make_keys(3, ["left/01"])))
    assert [made["width"], made["height"]] == made["file"] == [91, 96]


def test_the_picture_is_that_of_synth(opened: Opened, tmp_path) -> None:
    photograph(tmp_path / "eye.png")
    source = open_source(str(tmp_path / "eye.png"))
    there = Opened(source.load(0)["image"], source.ids[0], str(tmp_path / "eye.png"), "")
    state = picture.State("", "cofe-net", "4", {"brightness": [0.6, 0.8], "type": "111"}, seed=5)
    made = picture.answer(state, there)
    command = shlex.split(made["synth"].replace("pairs/", str(tmp_path / "pairs")))
    run(*command[1:])
    (written,) = (tmp_path / "pairs/degraded").rglob("*.png")
    assert torch.equal(image_io.read(written), uri_pixels(made["degraded"]))


@pytest.mark.parametrize(
    ("severity", "parameters", "stage"),
    [
        ("", {}, ""),
        ("5:light", {}, ""),
        ("", {"brightness": 0.5, "spot_center.1.0": 0.25, "type": 7.0}, ""),
        ("2", {"blur_kernel.0": 0.1}, "blur"),
    ],
)
def test_the_python_makes_the_same_picture(
    opened: Opened, severity: str, parameters: dict[str, float], stage: str
) -> None:
    state = picture.State("", "cofe-net", severity, {"contrast": [0.7, 0.9]}, 2, parameters, stage)
    made = picture.answer(state, opened)
    image = degrade.phantom.fundus(degrade.make_keys(0, 1), 96)[0][0, :, :, 5:]
    names: dict[str, Any] = {"given": image_io.to_integer(image)}
    exec(made["python"].replace("image = image\n", "image = given\n"), names)
    degraded = names["degraded"]
    degraded = degraded if degraded.dtype == torch.uint8 else image_io.to_integer(degraded[0])
    assert torch.equal(degraded, uri_pixels(made["degraded"]))


def test_a_changed_number_changes_the_picture_and_nothing_else(opened: Opened) -> None:
    before = picture.answer(picture.State("", "cofe-net"), opened)
    after = picture.answer(picture.State("", "cofe-net", parameters={"brightness": 0.5}), opened)
    changed = [a["name"] for a, b in zip(after["rows"], before["rows"], strict=True) if a["value"] != b["value"]]
    assert changed == ["brightness"]
    assert uri_pixels(after["degraded"]).float().mean() < uri_pixels(before["degraded"]).float().mean()


@pytest.mark.parametrize("name", degrade.RECIPES)
def test_every_number_has_a_row_with_its_unit_and_a_span_that_is_allowed(name: str) -> None:
    recipe = degrade.recipe(name)
    parameters = recipe.draw(degrade.make_keys(0, 1), 64, 64)
    rows = sliders.rows(recipe, parameters, (64, 64))
    assert len(rows) == sum(value.numel() for value in parameters.values())
    for parameter in recipe.parameter_table:
        (unit,) = {row["unit"] for row in rows if row["label"] == parameter.name}
        setting = recipe.settings_table.get(parameter.name)
        assert unit == (parameter.unit or (setting.unit if setting else "")), parameter.name
    for row in rows:
        if row["kind"] == "real":
            (low, high), (least, most) = row["span"], row["allowed"]
            assert least - 1e-6 <= low <= row["value"] <= high <= most + 1e-6, row
            assert high > low, row
            assert high - low < 40, row  # a slider over all of what is allowed, such as 1e6, would be of no use


@pytest.mark.parametrize("name", degrade.RECIPES)
def test_a_fixed_number_is_what_every_later_draw_has(name: str) -> None:
    recipe = degrade.recipe(name)
    rows = sliders.rows(recipe, recipe.draw(degrade.make_keys(0, 1), 64, 64), (64, 64))
    fixable = {row["name"]: float(f"{row['value']:.4g}") for row in rows if row["setting"]}
    assert fixable
    for setting, value in fixable.items():
        drawn = degrade.recipe(name, **{setting: value}).draw(degrade.make_keys(9, 3), 64, 64)[setting]
        assert torch.allclose(drawn, torch.full_like(drawn, value), rtol=1e-5, atol=1e-7), setting


def test_stages_that_do_not_act_are_marked(opened: Opened) -> None:
    rows = picture.answer(picture.State("", "cofe-net", settings={"type": "010"}), opened)["rows"]
    assert {row["stage"] for row in rows if row["acts"]} == {"", "spots"}


@pytest.mark.parametrize("name", degrade.RECIPES)
def test_what_is_copied_is_the_recipe(name: str) -> None:
    made = words.Chosen(name).recipe
    assert words.Chosen(name).options == ""
    for key, setting in made.settings_table.items():
        low, high = (0.0, 0.0) if isinstance(setting, Choice) else ends(made.settings[key])
        values: list[Any] = list(setting.choices) if isinstance(setting, Choice) else [low, high]
        if isinstance(setting, Range) and not setting.whole:
            values.append([low, (2 * low + high) / 3])
        for value in values:
            chosen = words.Chosen(name, settings={key: value})
            options = shlex.split(chosen.options)
            assert read_recipe(name, None, options[1::2]).settings == chosen.recipe.settings, key
            assert degrade.recipe(chosen.recipe.to_toml()).settings == chosen.recipe.settings, key


@pytest.mark.parametrize("name", degrade.RECIPES)
def test_every_severity_is_that_of_the_commands(name: str) -> None:
    for severity, _ in words.severities(name):
        chosen = words.Chosen(name, severity)
        expected = read_recipe(name, severity=severity or None).settings
        assert chosen.recipe.settings == expected, severity
        assert chosen.options == (f"--severity {severity}" if severity else "")
    with pytest.raises(ValueError, match="4:blur"):
        _ = words.Chosen(name, "6").recipe


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipe": "/etc/passwd.toml"}, "unknown recipe '/etc/passwd.toml'"),
        ({"recipe": 'recipe = "cofe-net"\n'}, "unknown recipe"),
        ({"settings": {"brightness": 99.0}}, "brightness = 99"),
        ({"settings": {"britness": 1.0}}, "did you mean brightness"),
        ({"parameters": {"brightness": 99.0}}, "brightness"),
        ({"parameters": {"spot_center.99.0": 0.5}}, "no parameter 'spot_center.99.0'"),
        ({"parameters": {"noise_key": 1.0}}, "noise_key"),
        ({"parameters": {"type": 1.5}}, "whole number"),
        ({"severity": "3:blurr"}, "blurr"),
        ({"stage": "blurr"}, "did you mean blur"),
        ({"size": 100_000}, "allowed is 32 to 4096"),
    ],
)
def test_what_cannot_be_is_refused_by_name(opened: Opened, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        picture.answer(picture.State(**{"image": "", "recipe": "cofe-net"} | changes), opened)


def test_images_keep_their_proportions_and_are_never_enlarged() -> None:
    image = torch.randint(256, (1, 50, 200), dtype=torch.uint8)
    assert fitted(image, 100).shape == (1, 1, 25, 100)
    assert torch.equal(fitted(image, 768), image_io.to_float(image)[None])


def test_handles_open_images_and_no_files(tmp_path) -> None:
    photograph(tmp_path / "eye.png", bits=16)
    images = Images(str(tmp_path), sources.open_source(str(tmp_path)).items)
    assert [image["name"] for image in images.handles()][:2] == ["eye", "fundus phantom"]
    first = images.open("source:0")
    names: dict[str, Any] = {}
    exec(f"from degrade.images import image_io\nimage = {first.python}", names)
    assert torch.equal(names["image"].int(), first.image.int())
    png = (tmp_path / "eye.png").read_bytes()
    for bad in ("source:1", "source:-1", str(tmp_path / "eye.png"), "phantom:fundus:0?size=9", "upload:1", ""):
        with pytest.raises(ValueError, match="not open any more"):
            images.open(bad)
    with pytest.raises(ValueError, match="unknown phantom 'liver'"):
        images.open("phantom:liver:0")
    handle = images.add("../../etc\\my eye.png", png)
    assert (images.open(handle).id, images.open(handle).source) == ("my eye", "my eye.png")
    for _ in range(5):
        images.add("other.png", png)
    with pytest.raises(ValueError, match="not open any more"):
        images.open(handle)
    with pytest.raises(ValueError, match="not an image"):
        images.add("text.png", b"no image")
