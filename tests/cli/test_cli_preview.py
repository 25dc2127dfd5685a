"""`degrade preview`: a sheet that can be opened, with a column for everything."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

import degrade
from cli import sheet
from degrade.images import image_io
from tests.cli_runs import photograph, run


@pytest.mark.parametrize("recipe", degrade.RECIPES)
def test_a_row_has_each_stage_and_each_view(recipe):
    d = degrade.recipe(recipe)
    image = degrade.phantom.fundus(degrade.make_keys(0, 1), 64)[0][0]
    cells = sheet.row(d, image, "eye", seed=3, views=2)
    stages = d.stages(d.draw(degrade.make_keys(3, ["eye"]), 64, 64))
    titles = ["clean", *(f"only {name}" for name in stages), "all of them", "view 1", "view 2"]
    assert [cell.title for cell in cells] == titles
    view = d(image[None], degrade.make_keys(3, ["eye"], view=1), degrade.fov.estimate(image[None]))[0]
    assert torch.equal(cells[-2].image, view)
    picture = sheet.sheet("heading", {"eye": cells, "e" * 200: cells}, 64)
    assert picture.width >= 64 * len(cells)
    assert picture.height >= 2 * 64


def test_no_view_repeats_the_whole_chain():
    d = degrade.recipe("cofe-net", type="111")
    image = degrade.phantom.fundus(degrade.make_keys(0, 1), 64)[0][0]
    pictures = [cell.image for cell in sheet.row(d, image, "eye", seed=0, views=3)]
    assert not any(torch.equal(one, other) for one, other in combinations(pictures, 2))


def test_the_detail_is_where_the_picture_has_some():
    image = torch.full((1, 96, 96), 0.5)
    image[0, 40:50, 30:40] = torch.eye(10)
    left, top, side = sheet._detail(image)
    assert left <= 30
    assert left + side >= 40
    assert top <= 40
    assert top + side >= 50


def test_preview_writes_a_sheet(tmp_path):
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "a.png").write_text("no image")
    photograph(source / "b.png", channels=1)
    photograph(source / "c.png", bits=16)
    photograph(source / "sub/d.png")
    result = run("preview", source, tmp_path / "sheet.png", "--size", 64, "--limit", 2, "--type", "011", "--views", 1)
    assert "a.png" in result.output
    assert "2 images" in result.output
    shape = image_io.read(tmp_path / "sheet.png").shape
    assert shape[0] == 3
    assert shape[2] > 8 * 64
    before = (tmp_path / "sheet.png").read_bytes()
    run("preview", source, tmp_path / "sheet.png", "--size", 64, "--limit", 2, "--type", "011", "--views", 1)
    assert (tmp_path / "sheet.png").read_bytes() == before


def test_mistakes(tmp_path):
    assert "OUT" in run("preview", "phantom:fundus", tmp_path / "sheet.pdf", code=2).output
    (tmp_path / "a.png").write_text("no image")
    assert "could be read" in run("preview", tmp_path / "a.png", tmp_path / "sheet.png", code=1).output
