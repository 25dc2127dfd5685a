"""MAGE-Net: two stages, two halves, attention, and the network for structure with its guided filter."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import enhance
from enhance.networks.agnet import AGNet, Structure, guided_upsample
from enhance.networks.magenet import CAB, SAM, _halves, _joined
from tests.network_samples import images, shapes_of, tiny


def test_layer_table():
    with torch.device("meta"):
        net = enhance.network("magenet")
        _, shapes = shapes_of(net.stage1, torch.zeros(1, 3, 256, 256), net.slope, True)
        structure = net.rsp(torch.zeros(1, 3, 256, 256))
        stages, segmentation = net(torch.zeros(1, 3, 256, 256))
    assert [shapes[f"encoder.{n}"] for n in range(3)] == [(40, 128, 256), (60, 64, 128), (80, 32, 64)]  # halves
    assert [shapes[f"decoder.{n}"] for n in range(3)] == [(80, 64, 64), (60, 128, 128), (40, 256, 256)]
    assert [tuple(f.shape[1:]) for f in structure.features] == [(256 >> n, 32 << n, 32 << n) for n in range(4)]
    assert [tuple(s.shape) for s in segmentation] == [(1, 2, 256, 256)] * 4
    assert [tuple(s.shape) for s in stages] == [(1, 3, 256, 256)] * 2
    assert [len(block.blocks) for block in net.stage2.blocks] == [8] * 3
    assert [conv.out_channels for conv in net.stage2.structure] == [56] * 4
    biased = [p for n, p in net.named_parameters() if n.endswith("bias") and not n.startswith("rsp")]
    assert biased == []


def test_there_is_one_prelu():
    net = tiny("magenet")
    assert [n for n, p in net.named_parameters() if p.numel() == 1] == ["slope"]
    assert not [part for part in net.modules() if isinstance(part, nn.PReLU)]


def test_both_stages_add_a_residual():
    net, image = tiny("magenet"), images()
    with torch.no_grad():
        first, second = net(image).stages
        assert not torch.allclose(first, second)
        net.stage1.sam.image.weight.zero_()
        net.stage2.residual.weight.zero_()
        assert all(torch.equal(stage, image) for stage in net(image).stages)
    assert net(image).image is not None


def test_halves():
    image = images(3, 2, 8, 6)
    halves = _halves(image)
    assert torch.equal(halves[0], image[0, :, :4])
    assert torch.equal(halves[1], image[0, :, 4:])
    assert torch.equal(halves[4], image[2, :, :4])
    assert torch.equal(_joined(halves), image)


@pytest.mark.parametrize("split", [True, False])
def test_the_first_encoder_sees_halves(split):
    net, image = tiny("magenet", split=split, rsp=None), images(1)
    other = image.clone()
    other[..., 32:, :] = 0.5
    seen = []
    net.stage1.encoder[2].register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        net(image), net(other)
    upper = [maps[0] if split else maps[0, :, :4] for maps in seen]
    assert torch.equal(*upper) == split


def test_channel_attention():
    torch.manual_seed(0)
    block, x, slope = CAB(8), images(2, 8, 16, 16), torch.tensor([0.25])
    y = block.second(F.prelu(block.first(x), slope))
    weights = y.mean((2, 3)) @ block.attention[0].weight[:, :, 0, 0].T
    weights = (weights.relu() @ block.attention[2].weight[:, :, 0, 0].T).sigmoid()
    torch.testing.assert_close(block(x, slope), x + y * weights[:, :, None, None])
    assert block.attention[0].out_channels == 2
    plain = CAB(8, attention=False)
    y = plain.second(F.prelu(plain.first(x), slope))
    torch.testing.assert_close(plain(x, slope), x + y)


def test_supervised_attention():
    torch.manual_seed(0)
    sam, features, image = SAM(8, 3), images(2, 8, 16, 16), images(2, 3, 16, 16)
    enhanced, gated = sam(features, image)
    torch.testing.assert_close(enhanced, sam.image(features) + image)
    torch.testing.assert_close(gated, features + sam.keep(features) * torch.sigmoid(sam.gate(enhanced)))


def test_options():
    image = images()
    assert tiny("magenet", cab=False)(image).image.shape == image.shape
    assert not [n for n, _ in tiny("magenet", cab=False, rsp=None).named_parameters() if "attention" in n]
    alone = tiny("magenet", stage2=False)(image)
    assert (len(alone.stages), len(alone.segmentation)) == (1, 4)
    without = tiny("magenet", rsp=None)
    assert without(image).segmentation == ()
    assert without.multiple == 8
    assert without(images(1, 3, 24, 40)).image.shape == (1, 3, 24, 40)
    assert tiny("magenet", classes=3)(image).segmentation[0].shape == (2, 3, 64, 64)


def test_another_network_for_structure():
    class Edges(nn.Module):
        feature_widths = (3, 3, 3, 3)

        def forward(self, image):
            return Structure((image,), tuple(F.avg_pool2d(image, 2**n) for n in (3, 2, 1, 0)))

    net, image = tiny("magenet", rsp=Edges()), images()
    output = net(image)
    assert output.image.shape == image.shape
    assert torch.equal(output.segmentation[0], image)


def test_structure_reaches_the_second_stage_only():
    net, image = tiny("magenet"), images()
    with torch.no_grad():
        before = net(image).stages
        for part in net.stage2.structure:
            part.weight += 0.5
        after = net(image).stages
    assert torch.equal(before[0], after[0])
    assert not torch.allclose(before[1], after[1])


def test_checkpointing_changes_nothing_but_memory():
    gradients, calls = [], []
    for checkpointing in (False, True):
        net = tiny("magenet", checkpointing=checkpointing).train()
        net.stage2.blocks[0].register_forward_pre_hook(lambda *_: calls.append("block"))
        net(images()).image.square().mean().backward()
        gradients.append([p.grad for p in net.stage2.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)
    assert len(calls) == 1 + 2


def test_guided_filter_follows_the_guide_along_a_line():
    """Where y = 3 x + 1 in every window, the guide is mapped by that line, but for the ridge."""
    guide = 50 * images(2, 4, 32, 32)
    small = F.avg_pool2d(guide, 2)
    result = guided_upsample(3 * small + 1, small, guide, torch.full((2, 1, 16, 16), 0.5))
    torch.testing.assert_close(result, 3 * guide + 1, rtol=1e-3, atol=0.1)


def test_guided_filter_ignores_what_has_no_attention():
    guide = 50 * images(1, 1, 32, 32)
    small = F.avg_pool2d(guide, 2)
    low, attention = 3 * small + 1, torch.full((1, 1, 16, 16), 0.5)
    low[..., 8, 8] += 100
    away = [(guided_upsample(low, small, guide, a) - 3 * guide - 1).abs().max() for a in (attention, _without(8))]
    assert away[0] > 10
    assert away[1] < 1


def _without(place):
    attention = torch.full((1, 1, 16, 16), 0.9)
    attention[..., place, place] = 0
    return attention


def test_guided_filter_of_one_image_is_its_own():
    torch.manual_seed(0)
    net, image = AGNet(width=4, guided_filter=True).double(), images(3, 3, 32, 48).double()
    image[0] *= 0.1
    with torch.no_grad():
        together = net(image)
        for n in range(3):
            alone = net(image[n : n + 1])
            for many, one in zip((*together[0], *together[1]), (*alone[0], *alone[1]), strict=True):
                torch.testing.assert_close(many[n : n + 1], one, atol=1e-9, rtol=1e-9)


def test_guided_network_at_any_size_and_in_bfloat16():
    net, image = tiny("magenet", rsp="agnet-guided"), images(1, 3, 37, 20)
    assert count(net) == count(tiny("magenet")) + sum(2 * n + 1 for n in (64, 32, 16, 8))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        enhanced = net.enhance(image)
    assert enhanced.shape == image.shape
    assert enhanced.isfinite().all()


def count(net):
    return sum(p.numel() for p in net.parameters())
