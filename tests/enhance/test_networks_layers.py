"""What is special about Zhao's networks, X-BDCNN and SSP-Net: layers, starts, options."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import enhance
from enhance.networks import PatchDiscriminator, ZhaoDiscriminator
from enhance.networks.magenet import FAB
from enhance.networks.sspnet import Bottleneck
from tests.network_samples import images, shapes_of, signed, tiny


def convolutions(net):
    return [part for part in net.modules() if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d))]


def receptive_field(net):
    field = 1
    for conv in reversed(convolutions(net)):
        field = (field - 1) * conv.stride[0] + conv.kernel_size[0]
    return field


@pytest.mark.parametrize(
    "make",
    [
        lambda: enhance.network("pcenet", width=16),
        lambda: enhance.network("zhao", width=16, blocks=1),
        lambda: ZhaoDiscriminator(width=16),
        lambda: PatchDiscriminator(width=16),
    ],
)
def test_weights_start_from_a_narrow_gaussian(make):
    torch.manual_seed(0)
    for conv in convolutions(make()):
        error = 6 * 0.02 / (2 * conv.weight.numel()) ** 0.5
        assert conv.weight.std().item() == pytest.approx(0.02, abs=error)
        assert abs(conv.weight.mean().item()) < 6 * 0.02 / conv.weight.numel() ** 0.5
        assert conv.bias.count_nonzero() == 0


def test_zhao_layer_table():
    with torch.device("meta"):
        net = enhance.network("zhao")
        _, shapes = shapes_of(net, torch.zeros(1, 3, 256, 256))
    kernels = [(conv.kernel_size[0], conv.stride[0], conv.out_channels) for conv in convolutions(net)]
    assert kernels[:3] == [(7, 1, 64), (3, 2, 128), (3, 2, 256)]
    assert kernels[3:-3] == [(3, 1, 256)] * 18
    assert kernels[-3:] == [(3, 2, 128), (3, 2, 64), (7, 1, 3)]
    assert {shapes[f"layers.{n}"] for n in range(10, 19)} == {(256, 64, 64)}
    assert (shapes["layers.21"], shapes["layers.24"]) == ((128, 128, 128), (64, 256, 256))


def test_residual_blocks_add():
    """With their last layers at zero, blocks give what they are given."""
    x = signed(2, 32, 16, 16)
    with torch.no_grad():
        zhao = enhance.network("zhao", width=8, blocks=1).layers[10]
        zhao.layers[-2].weight.zero_()
        assert torch.equal(zhao(x), x)
        bottleneck = Bottleneck(32, 8, 1, "batch").eval()
        bottleneck.layers[-2].weight.zero_()
        assert torch.equal(bottleneck(x), x.relu())
        narrower = Bottleneck(32, 4, 2, "batch").eval()
        narrower.layers[-2].weight.zero_()
        torch.testing.assert_close(narrower(x), narrower.shortcut(x).relu())
        fab = FAB(32, 1, False, True)
        fab.out.weight.zero_()
        assert torch.equal(fab(x, x, None, torch.tensor([0.25])), x)


def test_xbdcnn_adds_skips():
    nbd, x, entering = tiny("xbdcnn", 1).nbd, images(1, 3, 32, 32), []
    for part in nbd.decode:
        part.register_forward_pre_hook(lambda module, inputs: entering.append(inputs[0]))
    with torch.no_grad():
        for part in nbd.enlarge:
            part.weight.zero_()
            part.bias.zero_()
        nbd(x)
        whole = nbd.encode[0](x)
        half = nbd.encode[1](F.avg_pool2d(whole, 2))
    torch.testing.assert_close(entering, [half, whole])


def test_zhao_judgement():
    torch.manual_seed(0)
    judge = ZhaoDiscriminator(width=8)
    score, features = judge(signed(2, 3, 64, 64))
    sizes = [(8, 32), (16, 16), (32, 8), (64, 4), (1, 4)]
    assert [tuple(f.shape) for f in features] == [(2, n, side, side) for n, side in sizes]
    assert features[4] is score
    raw = [judge.layers[0][0](signed(2, 3, 64, 64))]
    torch.testing.assert_close(features[0], F.leaky_relu(raw[0], 0.2))
    for f in features[1:4]:  # activated: LeakyReLU undone, instance norm is what is left
        before = torch.where(f < 0, f / 0.2, f)
        torch.testing.assert_close(before.mean((2, 3)), torch.zeros(2, f.shape[1]), atol=1e-5, rtol=0)
    assert receptive_field(judge) == 63
    assert score.min() < 0


@pytest.mark.parametrize(("layers", "field", "count", "side"), [(3, 70, 5, 6), (1, 16, 3, 30)])
def test_patch_discriminator(layers, field, count, side):
    judge = PatchDiscriminator(channels=3, width=4, layers=layers)
    assert receptive_field(judge) == field
    assert [conv.kernel_size for conv in convolutions(judge)] == [(4, 4)] * count
    assert judge(signed(2, 3, 64, 64)).shape == (2, 1, side, side)
    norms = [part for part in judge.modules() if isinstance(part, nn.InstanceNorm2d)]
    assert len(norms) == count - 2


@pytest.mark.parametrize("make", [ZhaoDiscriminator, PatchDiscriminator])
def test_what_discriminators_refuse(make):
    with pytest.raises(ValueError, match="channels = 4: allowed is one of 1, 3"):
        make(channels=4)
    with pytest.raises(ValueError, match="width = 0"):
        make(width=0)


def test_xbdcnn_layers():
    with torch.device("meta"):
        net = enhance.network("xbdcnn")
        output, shapes = shapes_of(net, torch.zeros(1, 1, 128, 128))
    assert len([conv for conv in convolutions(net.nbd) if isinstance(conv, nn.Conv2d)]) == 17
    assert [shapes[f"nbd.encode.{n}"] for n in range(3)] == [(64, 128, 128), (128, 64, 64), (256, 32, 32)]
    assert [shapes[f"nbd.decode.{n}"] for n in range(2)] == [(128, 64, 64), (64, 128, 128)]
    assert [conv.out_channels for conv in convolutions(net.nle)] == [32, 32, 32, 32, 2]
    assert output.levels.shape == (1, 2, 128, 128)


def test_xbdcnn_skip_and_activations_of_the_level_estimation():
    nle, x = tiny("xbdcnn", 1).nle, images(1, 1, 32, 32)
    a, b, c, d = nle.layers
    first = F.relu(a(x))
    expected = F.relu(nle.last(F.relu(d(F.relu(c(F.relu(b(first)))))) + first))
    torch.testing.assert_close(nle(x), expected)


def test_xbdcnn_levels_are_alive_at_birth():
    for seed in range(20):
        torch.manual_seed(seed)
        levels = enhance.network("xbdcnn")(images(1, 1, 32, 32)).levels
        assert levels.min() > 0.01
        assert levels.mean().item() == pytest.approx(0.05, abs=0.02)


def test_xbdcnn_adds_a_residual_that_knows_the_levels():
    net, image = tiny("xbdcnn", 1), images(1, 1, 32, 32)
    with torch.no_grad():
        before = net(image).image
        net.nle.last.bias += 0.5
        assert (net(image).image - before).abs().max() > 1e-4
        net.nbd.last.weight.zero_()
        net.nbd.last.bias.fill_(0.25)
        torch.testing.assert_close(net(image).image, image + 0.25)


def test_xbdcnn_as_released():
    """The numbers of parameters of the group's code."""
    with torch.device("meta"):
        net = enhance.network("xbdcnn", maps="eta", share_layers=True, last_kernel=1)
    counts = [sum(p.numel() for p in part.parameters()) for part in (net.nle, net.nbd)]
    assert counts == [10_146, 4_334_017]
    one = tiny("xbdcnn", 1, share_layers=True)
    image = images(1, 1, 32, 32)
    first = x = torch.relu(one.nle.layers[0](image))
    for _ in range(3):
        x = torch.relu(one.nle.layers[1](x))
    torch.testing.assert_close(one.nle(image), torch.relu(one.nle.last(x + first)))


def test_dncnn_has_seventeen_convolutions():
    with torch.device("meta"):
        net = enhance.network("xbdcnn", denoiser="dncnn", nle=False)
    convolutions = [part for part in net.nbd.modules() if isinstance(part, torch.nn.Conv2d)]
    assert (len(convolutions), sum(isinstance(p, torch.nn.BatchNorm2d) for p in net.modules())) == (17, 15)
    assert sum(p.numel() for p in net.parameters()) == 556_097  # Zhang et al.'s
    made = tiny("xbdcnn", 1, denoiser="dncnn", nle=False)
    assert made(images(2, 1, 32, 32)).image.shape == (2, 1, 32, 32)


def test_xbdcnn_options():
    image = images(2, 3, 32, 32)
    assert tiny("xbdcnn", 3)(image).levels.shape == (2, 2, 32, 32)
    assert tiny("xbdcnn", 3, maps="pixel")(image).levels.shape == (2, 3, 32, 32)
    without = tiny("xbdcnn", 3, nle=False)
    assert without(image).levels is None
    assert without.nbd.encode[0][0].in_channels == 3
    assert not hasattr(without.nle, "parameters")


def test_sspnet_layers():
    with torch.device("meta"):
        net = enhance.network("sspnet")
        _, shapes = shapes_of(net.eval(), torch.zeros(1, 1, 384, 384))
    assert not [part for part in net.modules() if "Pool" in type(part).__name__]
    assert len(convolutions(net.encoder)) == 2 + 3 * (3 + 4 + 6 + 3) + 4  # stem, pool, bottlenecks, four shortcuts
    assert (shapes["encoder.stem"], shapes["encoder.pool"]) == ((64, 192, 192), (64, 96, 96))
    stages = [(256, 96, 96), (512, 48, 48), (1024, 24, 24), (2048, 12, 12)]
    assert [shapes[f"encoder.stages.{n}"] for n in range(4)] == stages
    decoder = [(512, 24, 24), (256, 48, 48), (128, 96, 96), (64, 192, 192), (32, 384, 384)]
    assert [shapes[f"decoder.{n}"] for n in range(5)] == decoder
    entering = [layer[0].in_channels for layer in net.decoder]
    assert entering == [2048 + 1024, 512 + 512, 256 + 256, 128 + 64, 64 + 1]


def test_sspnet_norms():
    batch, instance = tiny("sspnet"), tiny("sspnet", norm="instance")
    assert all(isinstance(part[1], nn.InstanceNorm2d) for part in batch.decoder)
    kinds = {type(part) for part in batch.encoder.modules() if "Norm" in type(part).__name__}
    assert kinds == {nn.BatchNorm2d}
    assert not [part for part in instance.modules() if isinstance(part, nn.BatchNorm2d)]
    assert not list(instance.buffers())


@pytest.mark.parametrize("name", ["pcenet", "zhao", "sspnet"])
def test_instance_norm_has_nothing_of_its_own(name):
    norms = [part for part in tiny(name).modules() if isinstance(part, nn.InstanceNorm2d)]
    assert norms
    assert not any(part.affine or part.track_running_stats for part in norms)
