"""Segmenters of several structures, AG-Net among them, those of other packages, and `enhance segment`."""

from __future__ import annotations

import sys

import pytest
import torch

from degrade.images import image_io
from degrade.stream import open_source
from degrade.stream.arrays import DatasetSource
from enhance.segmentation import SegmentationError, find_structures, open_finder
from enhance.segmenter import (
    AGNetSegmenter,
    VesselSegmenter,
    class_labels,
    load_segmenter,
    pack_segmenter,
    save_segmenter,
    train_segmenter,
)
from enhance.tensorfile import unpack, write_tensors
from tests.cli.test_cli_train import enhance, images

EYES = "phantom:fundus?count=4&size=64"
CPU = torch.device("cpu")


def discs():
    """Photographs with a disc and a cup in it."""
    rows = []
    for n in range(4):
        image, disc, cup = torch.rand(3, 64, 64), torch.zeros(1, 64, 64), torch.zeros(1, 64, 64)
        disc[:, 10 + n : 40], cup[:, 20:30] = 1, 1
        rows.append({"image": image, "disc": disc, "cup": cup})
    return DatasetSource(rows)


@pytest.mark.parametrize("network", ["unet", "agnet", "agnet-guided"])
def test_several_structures_in_one_file(tmp_path, network):
    options = {"steps": 2, "batch_size": 2, "size": 96, "crop": 96, "width": 4, "network": network}
    made = train_segmenter(discs(), structure=("disc", "cup"), **options)
    save_segmenter(made, tmp_path / "s.safetensors")
    found = load_segmenter(tmp_path / "s.safetensors")
    assert (found.structures, found.size, type(found)) == (("disc", "cup"), 96, type(made))
    image, mask = torch.rand(2, 3, 97, 101), torch.ones(2, 1, 97, 101)
    mask[..., :20] = 0
    probability = found.segment(image, mask)
    assert probability.shape == (2, 2, 97, 101)
    assert torch.equal(probability, made.segment(image, mask))
    assert float(probability[..., :20].abs().max()) == 0
    assert 0 < float(probability.max()) <= 1
    if network != "unet":
        assert float(found.probability(image).sum(1).max()) <= 1  # classes exclude each other
    with pytest.raises(ValueError, match="has no map 'vessels'"):
        train_segmenter(discs(), structure=("disc", "vessels"), **options)


def test_a_segmenter_file_of_the_version_before_is_read(tmp_path):
    tensors = unpack(pack_segmenter(VesselSegmenter(3, 4))).tensors
    options = chr(123) + '"channels": 3, "width": 4' + chr(125)
    write_tensors(tmp_path / "old.safetensors", tensors, {"format": "enhance segmenter 2", "options": options})
    found = load_segmenter(tmp_path / "old.safetensors")
    assert (found.structures, found.size) == (("vessels",), None)


def test_labels():
    maps = {"vessels": torch.tensor([[[[1.0, 0.0, 1.0]]]]), "disc": torch.tensor([[[[0.0, 1.0, 1.0]]]])}
    assert class_labels(maps, ("vessels", "disc")).tolist() == [[[1, 2, 2]]]
    assert class_labels(maps, ("disc", "vessels")).tolist() == [[[2, 1, 2]]]


FUNCTIONS = """
import torch

def darkest(image):
    return (image.mean(1, keepdim=True) < 0.3).float()

def logits(image):
    return image.mean(1, keepdim=True) * 10

def flat(image):
    return image.mean((2, 3))

class Network(torch.nn.Module):
    def forward(self, image):
        return image[:, :2]
"""


@pytest.fixture
def functions(tmp_path, monkeypatch):
    (tmp_path / "segment_functions.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    yield "segment_functions"
    sys.modules.pop("segment_functions", None)


def test_segmenters_of_other_packages(functions, tmp_path):
    image, mask = torch.rand(3, 64, 80), torch.ones(1, 64, 80)
    found = find_structures(open_finder(f"{functions}:darkest", CPU), image, mask)
    assert torch.equal(found, (image.mean(0, keepdim=True) < 0.3).float())
    program = torch.export.export(torch.nn.Sequential(torch.nn.Sigmoid()), (torch.rand(1, 3, 64, 80),))
    torch.export.save(program, tmp_path / "s.pt2")
    assert torch.allclose(find_structures(open_finder(str(tmp_path / "s.pt2"), CPU), image, mask), image.sigmoid())
    network = open_finder(f"{functions}:Network", CPU)
    assert find_structures(network, image, mask).shape == (2, 64, 80)
    for name, message in (("logits", r"values in \[.*: probabilities"), ("flat", r"returned \(1, 3\) for images")):
        with pytest.raises(SegmentationError, match=message):
            find_structures(open_finder(f"{functions}:{name}", CPU), image, mask)
    for text, message in (
        (f"{functions}:none", "cannot import"),
        ("none.pt2", "is no file"),
        (f"{functions}:FUNCTIONS", "cannot import"),
        ("none.safetensors", "does not exist"),
    ):
        with pytest.raises(SegmentationError, match=message):
            open_finder(text, CPU)


def test_the_size_of_the_training_is_used():
    network = VesselSegmenter(3, 4, size=64).eval()
    image, mask = torch.rand(3, 100, 128), torch.ones(1, 100, 128)
    found = find_structures(network, image, mask, network.size)
    assert found.shape == (1, 100, 128)
    small = image_io.resize(image, 64)
    expected = network.segment(small[None], (image_io.resize(mask, 64) > 0.5).float()[None])
    assert torch.allclose(found[0, 50, 64], expected[0, 0, 31:33, 31:33].mean(), atol=0.05)


def test_pseudo_masks_of_a_folder_train_magenet(tmp_path):
    """segmenter -> segment -> --vessels, and the same segmenter as --rsp."""
    good, _ = images(tmp_path, [f"p{number}" for number in range(4)])
    out = tmp_path / "s.safetensors"
    enhance("segmenter", EYES, out, "--network", "agnet", "--steps", 2, "--size", 96, "--crop", 96, "--width", 4)
    said = enhance("segment", good, tmp_path / "masks", "--segmenter", out)
    assert "4 masks written" in said
    mask, image = (image_io.read(folder / "p0.png") for folder in (tmp_path / "masks", good))
    assert mask.shape == (1, *image.shape[1:])
    assert set(mask.unique().tolist()) <= {0, 255}
    enhance("segment", good, tmp_path / "grey", "--segmenter", out, "--threshold", 0)
    assert len(image_io.read(tmp_path / "grey/p0.png").unique()) > 2
    tiny = [f"--set={x}" for x in ("width=4", "level_step=4", "stage2_step=4", "num_cab=1", "rsp_width=4", "size=none")]
    rest = ["--set", "batch_size=2", "--devices", "cpu", "--workers", 0, "--hold-out", 0, "--steps", 1]
    words = ["train", "magenet", good, "--vessels", tmp_path / "masks", *tiny, *rest]
    run = tmp_path / "run"
    enhance(*words, "--rsp", out, "--out", run)
    assert "rsp_share = 0.0" in (run / "run.toml").read_text()
    assert "no structure network" in enhance(*words, "--set", "rsp=none", "--rsp", out, "--out", tmp_path / "b", code=2)
    wrong = enhance(*words, "--set", "rsp_width=8", "--rsp", out, "--out", tmp_path / "b", code=2)
    assert "'--rsp'" in wrong
    assert "holds the weights of another network" in wrong
    refused = enhance("segment", good, tmp_path / "c", "--segmenter", "none:f", code=2)
    assert "Invalid value for '--segmenter': cannot import 'none:f'" in refused


def test_loaded_structure_reaches_student_and_teacher(tmp_path):
    from enhance.checkpoints import CheckpointError
    from enhance.trainers import trainer
    from enhance.warm_start import load_structure

    save_segmenter(AGNetSegmenter(3, 4, ("vessels", "disc")), tmp_path / "s.safetensors")
    small = {"width": 4, "level_step": 4, "stage2_step": 4, "num_cab": 1, "rsp_width": 4, "structures": "vessels,disc"}
    made = trainer("magenet", **small)
    load_structure(made, tmp_path / "s.safetensors")
    wanted = load_segmenter(tmp_path / "s.safetensors").network.state_dict()
    for network in made.networks.values():
        assert all(torch.equal(value, wanted[name]) for name, value in network.rsp.state_dict().items())
    with pytest.raises(CheckpointError, match="finds vessels,disc: set structures=vessels,disc, not vessels"):
        load_structure(trainer("magenet", **small | {"structures": "vessels"}), tmp_path / "s.safetensors")
    save_segmenter(VesselSegmenter(3, 4), tmp_path / "u.safetensors")
    with pytest.raises(CheckpointError, match="is a U-Net: train one with"):
        load_structure(made, tmp_path / "u.safetensors")
    with pytest.raises(CheckpointError, match="pcenet has no structure network"):
        load_structure(trainer("pcenet", width=4), tmp_path / "s.safetensors")


def test_the_source_of_phantoms_is_usable():
    assert open_source(EYES).load(0)["vessels"].shape == (1, 64, 64)
