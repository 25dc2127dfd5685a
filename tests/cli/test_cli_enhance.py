"""enhance apply, evaluate, export and segmenter, as a user types them, on a run of two steps."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner

import degrade
from cli.enhance import main
from degrade.images import image_io
from enhance.checkpoints import load_enhancer
from enhance.segmenter import load_segmenter

CHEST = "phantom:chest?count=6&size=64"


def run(*arguments: object) -> str:
    """What a command prints; it must end well."""
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.output


def refused(*arguments: object) -> str:
    """What a command that must refuse its arguments says."""
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 2, (done.exit_code, done.output)
    return done.output


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    widths = ["--set", "width=4", "--set", "level_width=4", "--set", "crop=32", "--set", "batch_size=2"]
    run("train", "xbdcnn", CHEST, "--out", folder, "--steps", 2, *widths, "--workers", 0)
    return folder


@pytest.fixture
def folder(tmp_path):
    grey, colour = degrade.phantom.chest(degrade.make_keys(0, 2), 70)[0], torch.rand(3, 40, 50)
    image_io.write(tmp_path / "in" / "a.png", image_io.to_integer(grey[0]))
    image_io.write(tmp_path / "in" / "deep" / "b.png", image_io.to_integer(grey[1, :, :61], bits=16))
    image_io.write(tmp_path / "in" / "colour.png", image_io.to_integer(colour))
    (tmp_path / "in" / "broken.png").write_bytes(b"nothing")
    return tmp_path


def test_apply_keeps_size_and_depth_and_lists_what_fails(trained, folder):
    printed = run("apply", trained, folder / "in", folder / "out")
    assert "2 images failed" in printed
    assert "2 images written" in printed
    network = load_enhancer(trained)
    for name in ("a", "deep/b"):
        given, made = (image_io.read(folder / side / f"{name}.png") for side in ("in", "out"))
        assert (given.dtype, given.shape) == (made.dtype, made.shape)
        with torch.no_grad():
            expected = network.enhance(image_io.to_float(given)[None])[0]
        assert torch.equal(made, image_io.to_integer(expected, 16 if name == "deep/b" else 8))
    failures = [json.loads(line) for line in (folder / "out" / "failed.jsonl").read_text().splitlines()]
    assert {failure["source"] for failure in failures} == {"broken.png", "colour.png"}
    before = (folder / "out" / "a.png").stat().st_mtime_ns
    assert "2 images were there already" in run("apply", trained, folder / "in", folder / "out")
    assert (folder / "out" / "a.png").stat().st_mtime_ns == before
    run("apply", trained / "best.safetensors", folder / "in", folder / "out", "--overwrite", "--tile", 64)
    assert (folder / "out" / "a.png").stat().st_mtime_ns > before
    assert "inside it" in refused("apply", trained, folder / "in", folder / "in" / "out")
    assert "no baseline" in refused("apply", "nothing", folder / "in", folder / "out")


def test_apply_fails_where_everything_does(trained, folder):
    done = CliRunner().invoke(main, ["apply", str(trained), str(folder / "in" / "broken.png"), str(folder / "none")])
    assert done.exit_code == 1


def test_photographs_keep_their_surround(folder):
    image = degrade.phantom.fundus(degrade.make_keys(0, 1), 96)[0]
    image_io.write(folder / "eye.png", image_io.to_integer(image[0]))
    run("apply", "clahe", folder / "eye.png", folder / "eyes")
    given, made = image_io.read(folder / "eye.png"), image_io.read(folder / "eyes" / "eye.png")
    outside = degrade.fov.estimate(image_io.to_float(given)[None])[0].expand(3, -1, -1) == 0
    assert float(outside.float().mean()) > 0.1
    assert torch.equal(given[outside], made[outside])
    assert not torch.equal(given[~outside], made[~outside])


def test_evaluate_against_the_images_themselves(trained, tmp_path):
    arguments = ["--recipe", "x-bdcnn", "--json", tmp_path / "t.json", "--sheet", tmp_path / "t.png"]
    printed = run("evaluate", trained, "gaussian", CHEST, *arguments)
    assert [line.split()[0] for line in printed.splitlines()[2:]] == ["degraded", "run", "gaussian"]
    found = json.loads((tmp_path / "t.json").read_text())
    assert len(found["images"]) == 6
    assert set(found["summary"]["run"]) == {"PSNR", "SSIM", "SNR", "entropy", "AvG", "PIQE"}
    assert found["summary"]["gaussian"]["PSNR"]["mean"] > found["summary"]["degraded"]["PSNR"]["mean"] + 3
    stream = degrade.stream.PairStream(CHEST, "x-bdcnn", batch_size=6, shuffle=False)
    (batch,) = stream
    written = image_io.to_float(image_io.to_integer(batch.degraded))
    expected = -10 * (written - batch.clean).square().mean((1, 2, 3)).log10()
    assert torch.allclose(torch.tensor(found["values"]["degraded"]["PSNR"]), expected, atol=1e-4)
    assert image_io.read(tmp_path / "t.png").shape[0] == 3
    again = run("evaluate", trained, "gaussian", CHEST, "--recipe", "x-bdcnn")
    assert again == printed
    held = run("evaluate", "gaussian", CHEST, "--recipe", "x-bdcnn", "--held-out", trained)
    assert held.startswith("1 images")


def test_evaluate_against_references_and_without(tmp_path):
    for number, image in enumerate(degrade.phantom.chest(degrade.make_keys(1, 3), 96)[0]):
        image_io.write(tmp_path / "good" / f"{number}.png", image_io.to_integer(image))
        noisy = (image + 0.1 * torch.randn(image.shape)).clamp(0, 1)
        image_io.write(tmp_path / "bad" / f"{number}.png", image_io.to_integer(noisy))
    printed = run("evaluate", "gaussian", tmp_path / "bad", "--reference", tmp_path / "good", "--limit", 2)
    assert "PSNR" in printed
    assert printed.startswith("2 images")
    assert "PSNR" not in run("evaluate", "gaussian", tmp_path / "bad")
    assert "no image with the name" in refused("evaluate", "gaussian", tmp_path / "bad", "--reference", CHEST)
    both = ["--reference", tmp_path / "good", "--recipe", "x-bdcnn"]
    assert "give one of them" in refused("evaluate", "gaussian", tmp_path / "bad", *both)
    assert "NIQE" in run(
        "evaluate", "gaussian", tmp_path / "bad", "--niqe", "phantom:chest?count=12&size=96", "--size", 96
    )


def test_a_segmenter_is_trained_saved_and_measures_vessels(tmp_path):
    eyes, out = "phantom:fundus?count=5&size=64", tmp_path / "s.safetensors"
    run("segmenter", eyes, out, "--steps", 3, "--size", 64, "--crop", 64, "--width", 4)
    about = {"channels": 3, "width": 4, "network": "unet", "structures": ["vessels"], "size": 64}
    assert load_segmenter(out).options == about
    printed = run("evaluate", "identity", eyes, "--recipe", "cofe-net", "--segmenter", out)
    assert "Dice" in printed
    assert "no segmenter" in refused("evaluate", "identity", eyes, "--segmenter", _weights(tmp_path))
    assert "no map 'vessels'" in refused("segmenter", CHEST, out)
    assert "at most the --size" in refused("segmenter", eyes, out, "--size", 64, "--crop", 128)


def _weights(folder):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, folder / "other.safetensors")
    return folder / "other.safetensors"


@pytest.mark.slow
def test_the_segmenter_learns():
    from enhance.metrics import confusion
    from enhance.segmenter import train_segmenter

    source = degrade.stream.open_source("phantom:fundus?count=12&size=96")
    network = train_segmenter(source, steps=80, size=96, crop=64, width=8)
    image, vessels, fov = degrade.phantom.fundus(degrade.make_keys(99, 4), 96)
    assert float(confusion(network.segment(image, fov), vessels, fov).dice.mean()) > 0.5
    shuffled = vessels.roll(1, dims=0)  # the vessels of other eyes are no match
    assert float(confusion(network.segment(image, fov), shuffled, fov).dice.mean()) < 0.4


@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
@pytest.mark.filterwarnings("ignore")
def test_export(trained, tmp_path, suffix):
    if suffix == ".onnx":
        for package in ("onnxscript", "onnxruntime"):
            pytest.importorskip(package, reason="the extra onnx is not installed")
    out = tmp_path / f"x{suffix}"
    assert "differs from the network by at most" in run("export", trained, out, "--size", 48)
    image = torch.rand(3, 1, 48, 48)
    with torch.no_grad():
        expected = load_enhancer(trained).enhance(image)
    if suffix == ".pt2":
        assert torch.allclose(torch.export.load(out).module()(image), expected, atol=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name]
    assert "ends in .pt2 or .onnx" in refused("export", trained, tmp_path / "x.zip")


def test_help_names_what_there_is():
    printed = run("--help")
    for command in ("apply", "evaluate", "export", "networks", "segment", "segmenter", "train"):
        assert command in printed
