"""What is asked of every network: parameters, work, sizes, masks, batches, precision, and clear refusals."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner

import enhance
from cli.enhance import main
from enhance.networks import NETWORKS, PatchDiscriminator, ZhaoDiscriminator
from enhance.networks.blocks import pad_to_multiple
from enhance.networks.summary import count_parameters, facts, gflop
from tests.network_samples import NAMES, disc, images, tiny

COSTS = {  # parameters, GFLOP at the training size; None where the papers and the facts have none
    "pcenet": (26_645_891, 87.8),
    "zhao": (11_378_179, 99.1),
    "magenet": (9_333_416 + 2_692_209, None),
    "xbdcnn": (28_642 + 4_334_529, 18.5),
    "sspnet": (23_538_752 + 17_235_233, 76.0),
}
each = pytest.mark.parametrize("name", NAMES)


def test_there_are_five():
    assert list(NETWORKS) == NAMES
    assert all(enhance.NETWORKS[name].name == name and enhance.NETWORKS[name].paper for name in NAMES)


@each
def test_parameters_and_work(name):
    parameters, work = COSTS[name]
    about = facts(name)
    assert about.parameters == parameters
    if work is not None:
        assert about.gflop == pytest.approx(work, rel=0.005)


def test_work_of_a_channel_attention_block():
    """Most of MAGE-Net's work: its first stage and AG-Net aside, 24 blocks of 7.4 GFLOP."""
    with torch.device("meta"):
        one, two = (enhance.network("magenet", num_cab=n) for n in (1, 2))
    assert (gflop(two, 3, 256) - gflop(one, 3, 256)) / 3 == pytest.approx(7.4, rel=0.005)


def test_parts():
    with torch.device("meta"):
        mage, xray, cornea = (enhance.network(name) for name in ("magenet", "xbdcnn", "sspnet"))
        judges = ZhaoDiscriminator(), PatchDiscriminator(), PatchDiscriminator(layers=1)
    assert count_parameters(mage.rsp) == pytest.approx(9.335e6, rel=0.001)
    assert count_parameters(mage) - count_parameters(mage.rsp) == pytest.approx(2.676e6, rel=0.01)
    assert (count_parameters(xray.nle), count_parameters(xray.nbd)) == (28_642, 4_334_529)
    assert count_parameters(cornea.encoder) == 23_538_752
    assert count_parameters(cornea) - count_parameters(cornea.encoder) == pytest.approx(17_237_217, rel=0.001)
    assert [count_parameters(judge) for judge in judges] == [1_555_585, 2_762_689, 134_337]
    assert gflop(judges[0], 3, 256) == pytest.approx(1.9, rel=0.02)
    assert gflop(judges[2], 1, 384) == pytest.approx(9.8, rel=0.01)


@each
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(61, 97), (64, 64), (5, 130), (1, 1)])
def test_any_size_and_channels(name, channels, size):
    image, mask = images(2, channels, *size), disc(2, *size)
    net = tiny(name, channels)
    for given in (None, mask):
        with torch.no_grad():
            enhanced = net.enhance(image, given)
        assert enhanced.shape == image.shape
        assert enhanced.dtype == image.dtype
        assert enhanced.min() >= 0
        assert enhanced.max() <= 1
        assert given is None or (enhanced[given.expand_as(enhanced) == 0] == 0).all()


@each
def test_enhance_is_forward_in_the_range_of_the_network(name):
    net, image = tiny(name), images()
    low, high = net.value_range
    with torch.no_grad():
        result = net(image * (high - low) + low)
        result = result if isinstance(result, torch.Tensor) else result.image
        torch.testing.assert_close(net.enhance(image), ((result - low) / (high - low)).clamp(0, 1))
    assert result.std() > 1e-4


@each
def test_gradients_reach_every_parameter_and_the_image(name):
    net, image = tiny(name).train(), images().requires_grad_()
    result = net(image)
    tensors = [t for t in torch.utils._pytree.tree_leaves(result) if isinstance(t, torch.Tensor)]
    sum((t * torch.randn_like(t)).sum() for t in tensors).backward()
    assert image.grad.abs().sum() > 0
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


@each
@pytest.mark.parametrize("training", [False, True])
def test_a_batch_is_its_images(name, training):
    if training and name == "sspnet":
        pytest.skip("batch norm in training is about batches")
    net, image, mask = tiny(name).train(training), images(3, 3, 61, 97), disc(3, 61, 97)
    image[0] *= 0.2
    with torch.no_grad():
        together = net.enhance(image, mask)
        alone = torch.cat([net.enhance(image[n : n + 1], mask[n : n + 1]) for n in range(3)])
    torch.testing.assert_close(together, alone, atol=2e-5, rtol=0)


def test_batch_norm_is_the_only_one_that_needs_eval():
    for name in NAMES:
        net, image = tiny(name), images()
        with torch.no_grad():
            same = torch.allclose(net.enhance(image), net.train().enhance(image), atol=1e-6)
        assert same == (name != "sspnet")
    net = tiny("sspnet", norm="instance")
    with torch.no_grad():
        torch.testing.assert_close(net.enhance(image), net.train().enhance(image))


@each
def test_precisions(name):
    net, image = tiny(name), images()
    with torch.no_grad():
        full = net.enhance(image)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = net.enhance(image)
        assert mixed.dtype == torch.float32
        assert mixed.isfinite().all()
        assert (mixed - full).abs().mean() < 0.03
        assert net.enhance(image.bfloat16()).dtype == torch.bfloat16
        torch.testing.assert_close(net.double().enhance(image.double()).float(), full, atol=1e-4, rtol=0)


@each
def test_what_enhance_refuses(name):
    net = tiny(name)
    with pytest.raises(TypeError, match="image must be a float tensor"):
        net.enhance(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    with pytest.raises(TypeError, match="mask must be a float tensor"):
        net.enhance(images(1), disc(1, 64, 64) > 0)
    for shape in ((3, 64, 64), (1, 1, 64, 64), (1, 3, 0, 64)):
        with pytest.raises(ValueError, match=r"\(B, C, H, W\) with C = 3"):
            net.enhance(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"mask must be \(B, 1, H, W\)"):
        net.enhance(images(2), disc(1, 64, 64))
    for value in (-0.01, 1.01, float("nan")):
        with pytest.raises(ValueError, match=r"image must lie in \[0, 1\]"):
            net.enhance(torch.full((1, 3, 64, 64), value))
        with pytest.raises(ValueError, match=r"mask must lie in \[0, 1\]"):
            net.enhance(images(1), torch.full((1, 1, 64, 64), value))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("pcnet", {}, "unknown network 'pcnet'; did you mean pcenet?"),
        ("pcenet", {"widht": 3}, "unknown option 'widht' of pcenet; did you mean width?"),
        ("pcenet", {"width": 0}, "width = 0: allowed is a whole number of at least 1"),
        ("pcenet", {"width": 2.0}, "width = 2.0"),
        ("pcenet", {"gain": 0}, "gain = 0"),
        ("zhao", {"blocks": -1}, "blocks = -1"),
        ("magenet", {"rsp": "unet"}, "rsp = 'unet': allowed is one of 'agnet', 'agnet-guided', None"),
        ("magenet", {"num_cab": True}, "num_cab = True"),
        ("xbdcnn", {"maps": "both"}, "maps = 'both': allowed is one of 'levels', 'eta', 'pixel'"),
        ("xbdcnn", {"level_width": 0}, "level_width = 0"),
        ("sspnet", {"depths": (1, 1, 1)}, "depths = (1, 1, 1): allowed are 4 whole numbers"),
        ("sspnet", {"decoder": (1, 1, 1, 1, 0)}, "decoder = (1, 1, 1, 1, 0): allowed are 5 whole numbers"),
        ("sspnet", {"norm": "layer"}, "norm = 'layer'"),
        *((name, {"channels": 2}, "channels = 2: allowed is one of 1, 3") for name in NAMES),
    ],
)
def test_what_network_refuses(name, options, message):
    with torch.device("meta"), pytest.raises(ValueError) as error:  # noqa: PT011
        enhance.network(name, **options)
    assert message in str(error.value)


def test_padding():
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    padded = pad_to_multiple(image, 5)
    assert padded.shape == (1, 1, 5, 5)
    torch.testing.assert_close(padded[..., :3, :4], image)
    assert padded[0, 0, 0].tolist() == [0, 1, 2, 3, 2]
    assert padded[0, 0, :, 0].tolist() == [0, 4, 8, 4, 0]
    assert pad_to_multiple(image, 4, smallest=8)[0, 0, :, 0].tolist() == [0, 4, 8, 8, 8, 8, 8, 8]
    assert pad_to_multiple(torch.zeros(1, 1, 8, 16), 8, 8).shape == (1, 1, 8, 16)


def test_the_command():
    result = CliRunner().invoke(main, ["networks"])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[1].split() == ["pcenet", "26,645,891", "87.8", "3", "x", "256", "x", "256", "[-1,", "1]"]
    assert [line.split()[0] for line in lines[1::2]] == NAMES
    assert "MICCAI 2022" in lines[2]


def test_import_is_light():
    code = "import enhance, sys; print([m for m in ('kornia', 'torch._dynamo', 'torchvision') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
