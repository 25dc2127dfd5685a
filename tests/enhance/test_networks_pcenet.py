"""PCE-Net: its pyramid against one written otherwise, and every map of its layer table."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import enhance
from enhance.networks.pyramid import blur, gaussian_pyramid, laplacian_pyramid, reconstruct
from tests.network_samples import disc, images, shapes_of, signed, tiny


def released(image, mask, levels=4):
    """The release's pyramid from the facts, by two-dimensional convolution and bilinear masks."""
    taps = torch.exp(-(torch.arange(-2.0, 3) ** 2) / 2)
    kernel = torch.outer(taps, taps) / taps.sum() ** 2

    def smooth(x):
        channels = x.shape[1]
        return F.conv2d(F.pad(x, (2,) * 4, mode="replicate"), kernel.expand(channels, 1, 5, 5), groups=channels)

    filled = image.clone()
    for n in range(image.shape[0]):
        for c in range(image.shape[1]):
            fill = image[n, c].flatten().median() + 0.2
            filled[n, c] = image[n, c] * mask[n, 0] + fill * (1 - mask[n, 0])
    result, low = [], filled
    for level in range(levels + 1):
        if level == levels:
            value = low
        else:
            lower = smooth(low)[..., ::2, ::2]
            enlarged = smooth(F.interpolate(lower, scale_factor=2, mode="bilinear"))
            value, low = (4 * (low - enlarged)).clamp(-1, 1), lower
        result.append((value + 1) * mask - 1)
        mask = F.interpolate(mask, scale_factor=0.5, mode="bilinear")
    return result


def test_the_pyramid_is_the_released_one():
    image, mask = signed(2, 3, 64, 96), disc(2, 64, 96)
    expected = released(image, mask)
    got = laplacian_pyramid(image, mask)
    assert [tuple(level.shape[-2:]) for level in got] == [(64, 96), (32, 48), (16, 24), (8, 12), (4, 6)]
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("smooth_up", [True, False])
@pytest.mark.parametrize("gain", [1.0, 4.0])
def test_it_can_be_put_together_again(gain, smooth_up):
    image = signed(2, 3, 64, 96)
    pyramid = laplacian_pyramid(image, gain=gain, clamp=False, smooth_up=smooth_up)
    torch.testing.assert_close(reconstruct(pyramid, gain, smooth_up), image, atol=1e-5, rtol=0)
    low = gaussian_pyramid(image)
    for level in range(4):
        part = reconstruct(pyramid[level:], gain, smooth_up)
        torch.testing.assert_close(part, low[level], atol=1e-5, rtol=0)


def test_clamp_and_gain_do_what_they_say():
    image = signed(1, 3, 32, 32)
    plain, louder = (laplacian_pyramid(image, gain=gain, clamp=False) for gain in (1.0, 4.0))
    cut = laplacian_pyramid(image)
    assert louder[0].abs().max() > 1
    for a, b, c in zip(plain[:4], louder[:4], cut[:4], strict=True):
        torch.testing.assert_close(4 * a, b)
        torch.testing.assert_close(b.clamp(-1, 1), c)
    assert torch.equal(plain[4], cut[4])


def test_blur_keeps_constants_and_weights():
    point = torch.zeros(1, 1, 9, 9)
    point[..., 4, 4] = 1
    spread = blur(point)
    taps = torch.exp(-(torch.arange(-2.0, 3) ** 2) / 2)
    torch.testing.assert_close(spread[0, 0, 2:7, 2:7], torch.outer(taps, taps) / taps.sum() ** 2)
    assert spread.count_nonzero() == 25
    torch.testing.assert_close(blur(torch.full((1, 1, 8, 8), 0.3)), torch.full((1, 1, 8, 8), 0.3))


def test_layer_table():
    with torch.device("meta"):
        net = enhance.network("pcenet")
        output, shapes = shapes_of(net, torch.zeros(2, 3, 256, 256), torch.ones(2, 1, 256, 256))
    expected = {
        **{f"entries.{n}": (64, 256 >> n, 256 >> n) for n in range(4)},
        "down.0": (128, 128, 128),
        "down.1": (256, 64, 64),
        "down.2": (512, 32, 32),
        "deepest": (512, 16, 16),
        "inner": (512, 16, 16),
        "up.0": (512, 32, 32),
        "up.1": (256, 64, 64),
        "up.2": (128, 128, 128),
        "up.3": (64, 256, 256),
        "exit": (3, 256, 256),
    }
    assert {name: shapes[name] for name in expected} == expected
    assert output.image.shape == (2, 3, 256, 256)
    widths = [(64, 256), (128, 128), (256, 64), (512, 32), (512, 16)]
    assert [tuple(f.shape) for f in output.features] == [(2, n, side, side) for n, side in widths]


def test_features_are_not_activated_but_the_last_skip_is():
    net, entering = tiny("pcenet"), []
    net.exit.register_forward_pre_hook(lambda module, inputs: entering.append(inputs[0]))
    with torch.no_grad():
        features = net(signed(1, 3, 64, 64)).features
    assert [round(float(f.mean()), 4) for f in features] == [0] * 5  # instance norm without what comes after
    torch.testing.assert_close(entering[0][:, 4:], F.leaky_relu(features[0], 0.2))


def test_no_mask_is_a_mask_of_ones():
    net, image = tiny("pcenet"), images()
    with torch.no_grad():
        torch.testing.assert_close(net.enhance(image), net.enhance(image, torch.ones(2, 1, 64, 64)))


def test_the_surround_cannot_be_seen():
    net, mask = tiny("pcenet"), disc(1, 64, 64)
    image = (0.3 + 0.7 * images(1)) * mask
    other = image + 0.1 * images(1, seed=1) * (1 - mask)  # below the median still
    with torch.no_grad():
        torch.testing.assert_close(net.enhance(image, mask), net.enhance(other, mask))
        assert (net.enhance(image) - net.enhance(other)).abs().max() > 1e-3


def test_without_laplacian_features():
    image = signed(1, 3, 64, 64)
    net = tiny("pcenet", lpf=False)
    levels = net.pyramid(image)
    assert torch.equal(levels[0], image)
    torch.testing.assert_close(levels[1], blur(image)[..., ::2, ::2])
    assert net(image).image.shape == image.shape
    settings = {"gain": 1.0, "clamp": False, "smooth_up": False}
    paper = tiny("pcenet", **settings).pyramid(image)
    torch.testing.assert_close(reconstruct(paper, 1.0, False), image, atol=1e-5, rtol=0)
