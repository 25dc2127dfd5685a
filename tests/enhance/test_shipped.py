"""Networks that come with the package: found by name from Python and the command line, small, and of some use."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import degrade
import enhance
from cli.enhance import main
from degrade.images import image_io
from enhance.checkpoints import CheckpointError, load_enhancer, read_weights
from enhance.shipped import FOLDER, shipped_file, shipped_names
from enhance.trainers import trainer
from enhance.warm_start import warm_start

NAME = "pretrained:xbdcnn-small"
BYTES = {"pcenet-small": 3_500_000, "xbdcnn-small": 600_000}
KEPT_OUT = ("nih_00003353_005.png", "nih_00001395_009.png")


def psnr(image: torch.Tensor, clean: torch.Tensor) -> float:
    return float(-10 * (image - clean).square().mean((1, 2, 3)).log10().mean())


def test_files_are_small_and_whole() -> None:
    assert shipped_names() == list(BYTES)
    for name in shipped_names():
        assert shipped_file(f"pretrained:{name}").stat().st_size < BYTES[name]
        weights = read_weights(f"pretrained:{name}")
        assert weights.checked
        assert weights.step >= 1_000
        assert {tensor.dtype for tensor in weights.networks.values()} == {torch.float16}
    assert {file.suffix for file in FOLDER.iterdir()} == {".safetensors"}


def test_it_denoises_phantoms() -> None:
    network = enhance.pretrained("xbdcnn-small")
    assert not network.training
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32}
    keys = degrade.make_keys(77, 2)
    clean = degrade.phantom.chest(keys, 192)[0]
    noisy = degrade.recipe("x-bdcnn", eta=0.4, sigma=5)(clean, keys)
    assert psnr(network.enhance(noisy), clean) > psnr(noisy, clean) + 11


@pytest.mark.slow
def test_it_denoises_radiographs(data: Path) -> None:
    """Two of those that no training and no tuning has seen; docs/pretrained.md has the figures of all fifty."""
    clean = torch.stack([image_io.to_float(image_io.read(data / "xray" / name))[:1] for name in KEPT_OUT])
    noisy = degrade.recipe("x-bdcnn", eta=0.4, sigma=5)(clean, degrade.make_keys(0, len(KEPT_OUT)))
    assert psnr(enhance.pretrained("xbdcnn-small").enhance(noisy), clean) > 34.5


def test_it_enhances_phantoms() -> None:
    """Of a seed that it was not trained on: much nearer to the clean ones, and clean ones stay."""
    network, keys = enhance.pretrained("pcenet-small"), degrade.make_keys(77, 4)
    clean, _, mask = degrade.phantom.fundus(keys, 256)
    degraded = degrade.recipe("pce-net", type="111")(clean, keys, mask)
    assert psnr(network.enhance(degraded, mask), clean) > psnr(degraded, clean) + 10
    assert psnr(network.enhance(clean, mask), clean) > 29


@pytest.mark.slow
def test_it_enhances_photographs(data: Path) -> None:
    """No photograph was in its training; docs/pretrained.md has the figures of 34."""
    files = sorted((data / "fundus/good").glob("drive_*"))[:6]
    images = [image_io.to_float(image_io.read(file))[None] for file in files]
    squares = [degrade.fov.crop(image, degrade.fov.estimate(image), 256) for image in images]
    clean, mask = (torch.cat(parts) for parts in zip(*((image, mask) for image, mask, _ in squares), strict=True))
    degraded = degrade.recipe("pce-net", type="111")(clean, degrade.make_keys(0, len(files)), mask)
    assert psnr(enhance.pretrained("pcenet-small").enhance(degraded, mask), clean) > psnr(degraded, clean) + 3


def test_other_names_are_told_what_there_is(tmp_path: Path) -> None:
    said = r"pretrained:resnet: the package has no network of that name; there are pcenet-small, xbdcnn-small"
    with pytest.raises(CheckpointError, match=said):
        enhance.pretrained("resnet")
    for bad in ("", "../secrets", "xbdcnn-small.safetensors"):
        with pytest.raises(CheckpointError, match="the package has no network of that name"):
            load_enhancer(f"pretrained:{bad}")
    for command in (
        ("apply", "pretrained:resnet", "phantom:chest?count=1&size=64", tmp_path / "out"),
        ("evaluate", "pretrained:resnet", "phantom:chest?count=1&size=64", "--recipe", "x-bdcnn"),
        ("benchmark", "pretrained:resnet", "phantom:chest?count=1&size=64"),
        ("export", "pretrained:resnet", tmp_path / "out.pt2"),
    ):
        done = CliRunner().invoke(main, [str(word) for word in command])
        assert done.exit_code == 2, done.output
        assert "xbdcnn-small" in done.output


def test_commands_take_it(tmp_path: Path) -> None:
    def said(*command: object) -> str:
        done = CliRunner().invoke(main, [str(word) for word in command])
        assert done.exit_code == 0, done.output
        return done.output

    source = "phantom:chest?count=2&size=64"
    said("apply", NAME, source, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["chest_0000.png", "chest_0001.png"]
    assert NAME in said("evaluate", NAME, "gaussian", source, "--recipe", "x-bdcnn")
    assert "pretrained:pcenet-small, pretrained:xbdcnn-small" in said("apply", "--help")


def test_training_can_begin_from_it() -> None:
    begun = trainer("xbdcnn", width=16, level_width=16, steps=1)
    warm_start(begun, NAME)
    for value, other in zip(begun.enhancer.parameters(), enhance.pretrained("xbdcnn-small").parameters(), strict=True):
        assert torch.equal(value, other)
