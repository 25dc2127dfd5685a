"""Cropping photographs to their fields of view: in memory, on disk, and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import pad

import degrade
from degrade import fov
from degrade.images import image_io
from degrade.pairs.geometry import read_geometry
from degrade.pairs.preparation import prepare, undo
from degrade.stream import open_source
from tests.cli_runs import failures, files, run

DISK = degrade.phantom.fundus(degrade.make_keys(0, 3), 64)
BORDERS = [(0, 0, 0, 0), (10, 33, 0, 5), (40, 2, 20, 7)]


def bordered(number, border, sides=(90, 120)):
    """A photograph with borders, cut or padded to one size, and its mask."""
    image, mask = DISK[0][number], DISK[2][number]
    left, right, top, bottom = border
    right, bottom = sides[1] - 64 - left, sides[0] - 64 - top
    return tuple(pad(x, (left, right, top, bottom)) for x in (image, mask))


BATCH = tuple(torch.stack(x) for x in zip(*(bordered(n, b) for n, b in enumerate(BORDERS)), strict=True))


def write_photographs(folder, **options):
    for number, image in enumerate(BATCH[0]):
        image_io.write(folder / "sub" / f"eye{number}.png", image_io.to_integer(image, **options))
        image_io.write(folder.parent / "fov" / "sub" / f"eye{number}.png", image_io.to_integer(BATCH[1][number]))
    return folder


def test_a_border_changes_nothing():
    square, inside, where = fov.crop(*BATCH, 48)
    alone, alone_mask, _ = fov.crop(DISK[0], DISK[2], 48)
    assert square.shape == (3, 3, 48, 48)
    assert torch.equal(square, alone)
    assert torch.equal(inside, alone_mask)
    assert set(inside.unique().tolist()) == {0, 1}
    for box, (left, _, top, _) in zip(where.boxes.tolist(), BORDERS, strict=True):
        assert box[0] >= top
        assert box[1] >= left


def test_without_resizing_it_comes_back_to_the_bit():
    for number in range(3):
        image, mask = (x[number : number + 1] for x in BATCH)
        square, _, where = fov.crop(image, mask)
        top, left, height, width = where.boxes[0].tolist()
        back = fov.uncrop(square, where)
        window = (..., slice(top, top + height), slice(left, left + width))
        assert torch.equal(back[window], image[window])
        assert back.count_nonzero() == back[window].count_nonzero()
        assert torch.equal(fov.uncrop(square, where, onto=image), image)


def test_shrinking_takes_means_over_areas():
    row = torch.tensor([0.0, 3, 6, 9, 12]).expand(1, 1, 5, 5).contiguous()
    square, _, _ = fov.crop(row, torch.ones_like(row), 2)
    # 2.5 pixels each: (0 + 3 + 6 / 2) / 2.5 and (6 / 2 + 9 + 12) / 2.5
    assert square[0, 0, 0].tolist() == pytest.approx([2.4, 9.6])
    image = torch.rand(1, 3, 60, 60, dtype=torch.float64)
    square, _, _ = fov.crop(image, torch.ones_like(image[:, :1]), 20)
    assert torch.allclose(square, torch.nn.functional.avg_pool2d(image, 3))
    from_pil = Image.fromarray(image[0, 0].float().numpy()).resize((20, 20), Image.Resampling.BOX)
    assert np.allclose(square[0, 0], np.asarray(from_pil), atol=1e-5)


def test_odd_fields_of_view():
    image = torch.rand(1, 3, 40, 61)
    nothing = torch.zeros(1, 1, 40, 61)
    square, inside, where = fov.crop(image, nothing)
    assert where.boxes.tolist() == [[0, 0, 40, 61]]
    assert square.shape == (1, 3, 61, 61)
    assert torch.equal(square[..., 10:50, :], image)
    assert not inside.any()
    one = nothing.clone()
    one[..., 39, 60] = 1
    square, inside, where = fov.crop(image, one, 8)
    assert where.boxes.tolist() == [[39, 60, 1, 1]]
    assert torch.allclose(square, image[..., 39:, 60:].expand(-1, -1, 8, 8))
    with pytest.raises(ValueError, match="size = None with fields of view of 1 to 61 pixels"):
        fov.crop(image.expand(2, -1, -1, -1), torch.cat([nothing, one]))
    with pytest.raises(ValueError, match=r"mask \(B, 1, H, W\)"):
        fov.crop(image, nothing[..., 1:])
    with pytest.raises(TypeError, match="mask must be floating point"):
        fov.crop(image, nothing.bool())
    with pytest.raises(ValueError, match="onto must be"):
        fov.uncrop(square, where, onto=image[..., 1:])


def test_it_is_differentiable():
    image = torch.rand(1, 1, 9, 7, dtype=torch.float64, requires_grad=True)
    mask = torch.zeros(1, 1, 9, 7, dtype=torch.float64)
    mask[..., 1:8, 2:6] = 1
    assert torch.autograd.gradcheck(lambda x: fov.crop(x, mask, 3)[0], (image,))
    assert torch.autograd.gradcheck(lambda x: fov.crop(x, mask, 11)[0], (image,))


@pytest.mark.parametrize("bits", [8, 16])
def test_the_command_and_back(tmp_path, bits):
    source = write_photographs(tmp_path / "raw", bits=bits)
    run("prepare", source, tmp_path / "out", "--no-resize", "--mask-dir", tmp_path / "fov")
    made = read_geometry(tmp_path / "out")
    assert list(made) == ["sub/eye0", "sub/eye1", "sub/eye2"]
    assert made["sub/eye1"].source == "sub/eye1.png"
    one = image_io.read(tmp_path / "out/images/sub/eye1.png")
    assert one.shape[-1] == max(made["sub/eye1"].box[2:])
    assert one.dtype == (torch.uint16 if bits == 16 else torch.uint8)
    said = run("prepare", tmp_path / "out/images", tmp_path / "full", "--undo", tmp_path / "out", "--onto", source)
    assert "3 images written" in said.output
    for number in range(3):
        again, raw = (image_io.read(f / f"sub/eye{number}.png") for f in (tmp_path / "full", source))
        assert again.dtype == raw.dtype
        assert torch.equal(again.int(), raw.int())
    run("prepare", tmp_path / "out/images", tmp_path / "black", "--undo", tmp_path / "out")
    black = image_io.read(tmp_path / "black/sub/eye1.png")
    assert black.shape[-2:] == (90, 120)
    assert not black[..., :33].any() or made["sub/eye1"].box[1] < 33


def test_the_command_goes_on(tmp_path):
    source = write_photographs(tmp_path / "raw")
    (source / "bad.png").write_bytes(b"no image")
    said = run("prepare", source, tmp_path / "whole", "--size", 48).output
    assert "3 images written" in said
    assert list(failures(tmp_path / "whole")) == ["bad.png"]
    whole = files(tmp_path / "whole")
    run("prepare", source, tmp_path / "part", "--size", 48, "--limit", 3)
    log = tmp_path / "part/prepared.jsonl"
    log.write_bytes(log.read_bytes() + b'{"id": "sub/ey')  # as a killed run leaves it
    (tmp_path / "part/masks/sub/eye0.png").unlink()
    said = run("prepare", source, tmp_path / "part", "--size", 48).output
    assert "1 images were there already" in said
    assert files(tmp_path / "part") == whole
    said = run("prepare", source, tmp_path / "part", "--size", 48).output
    assert "3 images were there already" in said
    said = run("prepare", source, tmp_path / "part", "--size", 40, code=2).output
    assert "was prepared with 48" in said
    run("prepare", source, tmp_path / "part", "--size", 40, "--overwrite")
    assert {one.size for one in read_geometry(tmp_path / "part").values()} == {40}


def test_images_by_quality(tmp_path):
    source = write_photographs(tmp_path / "raw")
    table = tmp_path / "Label_EyeQ_train.csv"
    table.write_text(",image,quality,DR_grade\n0,eye0.jpeg,0,0\n1,eye1.jpeg,2,1\n2,eye2.jpeg,1,0\n3,other.jpeg,0,0\n")
    for keep, ids in (("good", ["sub/eye0"]), ("good,usable", ["sub/eye0", "sub/eye2"]), ("2", ["sub/eye1"])):
        run("prepare", source, tmp_path / keep, "--labels", table, "--keep", keep)
        assert list(read_geometry(tmp_path / keep)) == ids
    run("prepare", source, tmp_path / "default", "--quality-csv", table)
    assert list(read_geometry(tmp_path / "default")) == ["sub/eye0"]
    wrong = tmp_path / "wrong.csv"
    for text, message in (
        ("picture,score\na,1\n", "have no column 'image'"),
        ("image,score\na,1\n", "have no column 'quality'"),
        ("image,quality\nelse,0\n", "name no image of"),
        ("image,quality\neye0,0\neye0.png,1\n", "line 3: 'eye0' is usable, and good before"),
        ("image,quality\neye0\n", "line 2: 1 columns"),
        ("image,quality\neye0,2\n", "keep = 'good': the labels"),
        ("", "have no column 'image'"),
    ):
        wrong.write_text(text)
        said = run("prepare", source, tmp_path / "none", "--labels", wrong, code=2).output
        assert message in said
        assert "wrong.csv" in said
        assert len(said.splitlines()) == 1


def test_what_cannot_be_put_back(tmp_path):
    source = write_photographs(tmp_path / "raw")
    prepare(source, tmp_path / "out", size=48)
    image_io.write(tmp_path / "other/sub/eye0.png", torch.zeros(3, 40, 40, dtype=torch.uint8))
    outcome = undo(tmp_path / "other", tmp_path / "out", tmp_path / "full")
    assert outcome.failures == [("sub/eye0.png", "it is 40 x 40 pixels, its square was 48 x 48")]
    said = run("prepare", source, tmp_path / "x", "--undo", tmp_path / "raw", code=2).output
    assert "'--undo': cannot read" in said
    text = json.dumps({"id": "a", "source": "a", "height": 5, "width": 5, "box": [0, 0, 6, 5], "size": 4})
    (tmp_path / "out/prepared.jsonl").write_text(text + "\n")
    said = run("prepare", source, tmp_path / "x", "--undo", tmp_path / "out", code=2).output
    assert "line 1: a box outside the image" in said


def test_the_estimated_field_of_view_is_used(tmp_path):
    source = write_photographs(tmp_path / "raw")
    prepare(source, tmp_path / "out", size=64)
    image = image_io.to_float(open_source(source).load(1)["image"])[None]
    square, mask, _ = fov.crop(image, fov.estimate(image), 64)
    written = image_io.read(tmp_path / "out/images/sub/eye1.png")
    assert torch.equal(written, image_io.to_integer(square[0]))
    assert torch.equal(image_io.read(tmp_path / "out/masks/sub/eye1.png")[:1], image_io.to_integer(mask[0]))
