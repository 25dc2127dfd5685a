"""Public data sets as they are distributed: one command each; patterns; and errors that name file and expectation."""

from __future__ import annotations

import gzip
import pickle
import shutil

import pytest
import torch

from degrade.images import image_io
from degrade.images.maps import full_scale
from degrade.pairs import PairedDataset
from degrade.stream import PairStream, SourceError, open_source
from degrade.stream.datasets import DatasetError, open_dataset
from degrade.stream.layouts import LAYOUTS, open_part
from tests.cli.test_cli_train import enhance, train
from tests.cli_runs import run
from tests.dataset_trees import COUNT, TREES, phantoms

MAGE = [
    *(
        part
        for one in (
            *("width=8", "level_step=4", "stage2_step=4", "num_cab=1", "rsp_width=4"),
            *("batch_size=1", "size=none"),
        )
        for part in ("--set", one)
    ),
    *("--devices", "cpu", "--workers", "0", "--steps", "1"),
]
VESSELS = {"drive", "chase", "hrf", "stare"}


@pytest.fixture(params=TREES)
def tree(request, tmp_path):
    TREES[request.param](tmp_path / "data")
    return request.param, tmp_path / "data"


def test_what_a_layout_opens(tree):
    name, root = tree
    source = open_dataset(root, layout=name)
    structure = "vessels" if name in VESSELS else "disc"
    assert len(source) == COUNT
    sample = source.load(0)
    assert set(sample) == {"image", structure} | ({"mask"} if "mask" in LAYOUTS[name].maps else set())
    images, vessels, masks, discs, cups = phantoms()
    place = {id_: number for number, id_ in enumerate(source.ids)}
    numbers = [0, 1, 2, 3, 4, 5]
    if name == "drive":
        numbers = [4, 5, 0, 1, 2, 3]  # "test" comes before "training"
    elif name == "hrf":
        numbers = [1, 2, 0, 4, 5, 3]  # dr, g, h
    for id_, number in zip(source.ids, numbers, strict=True):
        made = source.load(place[id_])
        assert (made["image"].float() / 255 - images[number]).abs().mean() < 0.03
        wanted = (vessels if name in VESSELS else discs)[number]
        assert torch.equal(full_scale(made[structure]), image_io.to_integer(wanted))
        if "mask" in made:
            assert torch.equal(full_scale(made["mask"]), image_io.to_integer(masks[number]))
    copy = pickle.loads(pickle.dumps(source))  # as worker processes get it
    assert torch.equal(copy.load(3)[structure], source.load(3)[structure])
    if "cup" in LAYOUTS[name].maps:
        assert torch.equal(open_part(root, name, "cup").load(0)["image"], image_io.to_integer(cups[0]))


def test_synth_takes_it(tree, tmp_path):
    name, root = tree
    run("synth", root, tmp_path / "pairs", "--layout", name, "--limit", 2)
    pairs = PairedDataset(tmp_path / "pairs")
    assert len(pairs) == 2
    recipe = (tmp_path / "pairs/recipe.toml").read_text()
    assert ("masks = true" in recipe) == ("mask" in LAYOUTS[name].maps)
    if "mask" in LAYOUTS[name].maps:
        mask = open_part(root, name, "mask").load(0)["image"][:1]
        assert torch.equal(image_io.to_integer(pairs[0].mask), mask)


@pytest.mark.slow
def test_train_magenet_takes_it(tree, tmp_path):
    name, root = tree
    more = () if name in VESSELS else ("--set", "rsp=none")
    train("magenet", root, "--layout", name, "--out", tmp_path / "run", *MAGE, *more)
    assert f'layout = "{name}"' in (tmp_path / "run/run.toml").read_text()
    train("--resume", "--out", tmp_path / "run", "--steps", 2)


def test_segmenter_and_evaluate_take_it(tree, tmp_path):
    name, root = tree
    out = tmp_path / "segmenter.safetensors"
    given = ("--layout", name, "--size", 64, "--device", "cpu")
    enhance("segmenter", root, out, *given, "--steps", 1, "--crop", 64, "--width", 2)
    said = enhance("evaluate", "identity", root, "--recipe", "cofe-net", "--segmenter", out, *given, "--limit", 2)
    assert "Dice" in said
    assert said.splitlines()[0].startswith("2 images")


def test_a_map_on_request_that_some_images_lack(tmp_path):
    TREES["idrid"](tmp_path)
    told = []
    source = open_dataset(tmp_path, layout="idrid", wanted=["haemorrhages"], note=told.append)
    assert source.ids == ["IDRiD_02", "IDRiD_04", "IDRiD_06"]
    assert told == ["3 of 6 images have a map 'haemorrhages'; the others are left out"]
    said = train("magenet", tmp_path, "--layout", "idrid", "--out", tmp_path / "run", *MAGE, code=2)
    assert "'--layout': layout 'idrid' has no map 'vessels'; it has disc," in said


def test_patterns(tmp_path):
    TREES["drive"](tmp_path)
    part = tmp_path / "training"
    image, vessels = f"{part}/images/{{id}}_training.tif", f"{part}/1st_manual/{{id}}_manual1.gif"
    mask = f"{part}/mask/{{id}}_training_mask.gif"
    source = open_source(image, maps={"vessels": vessels, "mask": mask})
    assert source.ids == ["21", "22", "23", "24"]
    batch = next(iter(PairStream(source, "cofe-net", batch_size=4, shuffle=False)))
    assert torch.equal(batch.maps["vessels"], phantoms()[1][:4])
    assert torch.equal(batch.mask, phantoms()[2][:4])
    train("magenet", image, "--vessels", vessels, "--masks", mask, "--out", tmp_path / "run", *MAGE)
    run("synth", image, tmp_path / "pairs", "--masks", mask)
    assert torch.equal(PairedDataset(tmp_path / "pairs")[2].mask, phantoms()[2][2])
    run("synth", image, tmp_path / "pairs", "--masks", mask, "--resume")
    again = run("synth", image, tmp_path / "pairs", "--masks", mask, "--resume").output
    assert "4 images were there already" in again
    half = phantoms()[2][0].clone()
    half[:, 32:] = 0
    image_io.write(tmp_path / "half.png", image_io.to_integer(half))
    (tmp_path / "half.png").rename(part / "mask/21_training_mask.gif")
    again = run("synth", image, tmp_path / "pairs", "--masks", mask, "--resume").output
    assert "3 images were there already" in again
    assert torch.equal(PairedDataset(tmp_path / "pairs")[0].mask, half)
    deep = open_source(f"{tmp_path}/*/images/{{id}}_t*.tif")
    assert deep.ids == ["04", "05", "21", "22", "23", "24"]


def test_labels_choose_for_every_command(tmp_path):
    TREES["drive"](tmp_path / "data")
    table = tmp_path / "labels.csv"
    table.write_text("image,quality\n04,0\n05,1\n21,0\n22,0\n23,2\n24,0\n")
    given = ("--layout", "drive", "--labels", table)
    run("synth", tmp_path / "data", tmp_path / "pairs", *given, "--keep", "reject")
    assert PairedDataset(tmp_path / "pairs").ids == ["23_v0"]
    train("magenet", tmp_path / "data", *given, "--keep-labels", "good,usable", "--out", tmp_path / "run", *MAGE)
    used = (tmp_path / "run/trained_on.json").read_text() + (tmp_path / "run/held_out.json").read_text()
    assert sorted(id_ for id_ in ("04", "05", "21", "22", "23", "24") if f'"{id_}"' in used) == [
        *("04", "05", "21", "22", "24"),
    ]
    said = enhance("evaluate", "identity", tmp_path / "data", *given, "--device", "cpu")
    assert said.splitlines()[0].startswith("4 images")
    said = run("synth", tmp_path / "data", tmp_path / "x", "--keep", "good", code=2).output
    assert "--keep chooses by --labels" in said


def test_a_wrong_pattern(tmp_path):
    TREES["drive"](tmp_path)
    images = f"{tmp_path}/training/images/{{id}}_training.tif"
    with pytest.raises(
        SourceError,
        match=r"no file in .*1st_manual' matches .*expected names such as "
        r"'21_manual9.gif'; there are '21_manual1.gif'",
    ):
        open_source(f"{tmp_path}/training/1st_manual/{{id}}_manual9.gif")
    with pytest.raises(SourceError, match=r"nowhere' is no folder: "):
        open_source(f"{tmp_path}/nowhere/{{id}}.gif")
    pattern = f"{tmp_path}/training/mask/{{id}}_training_mask.gif"
    said = run("synth", tmp_path / "training/images", tmp_path / "x", "--masks", pattern, code=2).output
    assert "'--masks': " in said
    assert "expected " in said
    assert "mask/21_training_training_mask.gif" in said
    with pytest.raises(DatasetError, match=r"layout 'chase', images: expected names such as 'Image_01L") as caught:
        open_dataset(tmp_path, layout="chase")
    assert caught.value.argument == "layout"
    with pytest.raises(DatasetError, match="unknown layout 'drve'; did you mean drive"):
        open_dataset(tmp_path, layout="drve")
    assert open_dataset(images).ids[0] == "21"


def test_two_files_for_one_id(tmp_path):
    TREES["hrf"](tmp_path)
    shutil.copy(tmp_path / "images/01_h.jpg", tmp_path / "images/01_h.jpeg")
    with pytest.raises(SourceError, match=r"two files for the id '01_h' .*01_h.jpeg' and .*01_h.jpg'"):
        open_dataset(tmp_path, layout="hrf")
    with pytest.raises(SourceError, match="two files for the id '01_h'"):
        open_source(f"{tmp_path}/images/{{id}}.jp*")


def test_compressed_files_are_refused_by_name(tmp_path):
    TREES["stare"](tmp_path)
    first = tmp_path / "im0001.ppm"
    (tmp_path / "im0001.ppm.gz").write_bytes(gzip.compress(first.read_bytes()))
    first.unlink()
    said = run("synth", tmp_path, tmp_path / "x", "--layout", "stare", code=2).output
    assert "im0001.ppm.gz' is compressed: unpack it first" in said


@pytest.mark.parametrize(("mask", "message"), [
    (torch.full((1, 40, 60), 255, dtype=torch.uint8), "its map 'mask' is 60 x 40 pixels, the image 64 x 64: "),
    (torch.zeros(1, 64, 64, dtype=torch.uint8), "its map 'mask' covers nothing: "),
    (torch.full((1, 64, 64), 7, dtype=torch.uint8), "map 'mask' has the level 7"),
])  # fmt: skip
def test_masks_that_cannot_be_used(tmp_path, mask, message):
    TREES["drive"](tmp_path / "data")
    image_io.write(tmp_path / "bad.png", mask)
    bad = tmp_path / "data/training/mask/22_training_mask.gif"
    (tmp_path / "bad.png").rename(bad)
    said = run("synth", tmp_path / "data", tmp_path / "pairs", "--layout", "drive").output
    assert message in said
    assert "level" in message or "22_training_mask.gif" in said
    assert "1 images failed" in said
    assert len(PairedDataset(tmp_path / "pairs")) == 5
    stream = PairStream(open_dataset(tmp_path / "data", layout="drive"), "cofe-net", batch_size=6)
    list(stream)
    assert message in stream.failed["22"]
