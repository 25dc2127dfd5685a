"""Cataract: against the independent reference, and what it must look like."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import degrade
from degrade.models.cataract import veil_map
from tests import reference


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_reference(seed: int) -> None:
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(seed, 1), 512)
    d = degrade.recipe("cataract", frame="image")
    p = d.draw(degrade.make_keys(seed, 1), 512, 512)
    one = {name: float(value.flatten()[0]) for name, value in p.items()}
    center = tuple(round(float(value) * 512 - 0.5, 3) for value in p["veil_center"][0])
    expected = reference.cataract(
        image[0].double().numpy(),
        mask[0, 0].double().numpy(),
        round(one["blur_kernel"] * 512),
        one["blur_sigma"] * 512,
        center,
        one["veil"],
        one["contrast"],
        one["brightness"],
        one["saturation"],
    )
    got = d.apply(image.double(), p, mask)[0].numpy()
    assert np.abs(got - expected).max() < 1e-4


def test_veil_is_thinnest_at_its_centre_and_one_at_most() -> None:
    veil = veil_map(torch.tensor([[0.3, 0.6]]), torch.ones(1, 1, 100, 120))[0, 0]
    assert veil.max() == 1
    row, column = divmod(int(veil.argmin()), 120)
    assert abs(row - 59.5) <= 1
    assert abs(column - 35.5) <= 1


def test_a_cataract_veils_detail() -> None:
    """Towards the veil's thick end pixels approach the maximum: brighter, and with less local contrast."""
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, 4), 128)
    d = degrade.recipe("cataract", contrast=1.0, brightness=1.0, saturation=1.0, transmission=1.0)
    degraded = d(image, degrade.make_keys(0, 4), mask)
    inside = mask.expand_as(image) == 1
    assert degraded[inside].mean() > image[inside].mean()
    edges = mask[..., 1:] * mask[..., :-1]
    detail = [(x.diff(dim=-1).abs() * edges).mean() for x in (image, degraded)]
    assert detail[1] < 0.8 * detail[0]


def test_gradcheck() -> None:
    image = 0.3 + 0.2 * torch.rand(1, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    d = degrade.recipe("cataract")
    p = {name: value.double() for name, value in d.draw(degrade.make_keys(0, 1), 32, 32).items()}
    p["blur_kernel"] = torch.tensor([[0.13, 0.11]], dtype=torch.float64)
    names = list(p)

    def run(image: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        degraded: torch.Tensor = d.apply(image, dict(zip(names, values, strict=True)), torch.ones(1, 1, 32, 32))
        return degraded[..., ::5, ::5]

    inputs = [value.clone().requires_grad_() for value in (image, *p.values())]
    assert torch.autograd.gradcheck(run, inputs, eps=1e-7, atol=1e-5, fast_mode=True)


# the loops for a CPU


def both(
    d: degrade.Degradation, image: torch.Tensor, p: degrade.Parameters, mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    with degrade.backend("cpu"):
        got = d.apply(image, p, mask)
    with degrade.backend("reference"):
        return got, d.apply(image, p, mask)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(33, 47), (70, 41), (150, 700)])
@pytest.mark.parametrize("taps", [0, 3, 15])
def test_loops_are_the_definition(channels: int, size: tuple[int, int], taps: int) -> None:
    """Any mask, also one of fractions and one of nothing; centers inside and outside of the frame."""
    generator = torch.Generator().manual_seed(taps)
    image, mask = torch.rand(4, channels, *size, generator=generator), torch.rand(4, 1, *size, generator=generator)
    mask[1], mask[2] = 1, 0
    d = degrade.recipe("cataract", blur_taps=taps)
    p = d.draw(degrade.make_keys(2, 4), *size)
    p["veil_center"][3] = torch.tensor([-1.5, 2.5])
    p["blur_kernel"][3, 1] *= 2
    got, expected = both(d, image, p, mask)
    assert (got - expected).abs().max() < 2e-6
    assert not got[2].any()


FRAMES = [[-3, -5, 90, 101], [4, 6, 32, 35], [0, 0, 70, 90], [10, -8, 40, 60], [40, 2, 64, 33], [-20, 30, 33, 51]]
"""Of an image of 90 x 70: beyond it, within it, the whole of it, and partly beside it, each of another size."""


def framed(channels: int, taps: int) -> tuple[degrade.Degradation, torch.Tensor, degrade.Parameters, torch.Tensor]:
    """Six images, and masks of fractions whose boxes differ; one mask is empty."""
    generator = torch.Generator().manual_seed(taps)
    image, mask = torch.rand(6, channels, 90, 70, generator=generator), torch.zeros(6, 1, 90, 70)
    for i in range(5):
        mask[i, :, 3 * i : 50 + 8 * i, 2 * i : 40 + 6 * i] = torch.rand(1, generator=generator) / 2 + 0.5
    mask[3] *= torch.rand(mask[3].shape, generator=generator)
    d = degrade.recipe("cataract", blur_taps=taps)
    p = d.draw(degrade.make_keys(2, 6), 90, 70)
    p["blur_kernel"][:, 0] *= 3
    return d, image, p, mask


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("taps", [0, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_frames_of_several_sizes_are_the_definitions(channels: int, taps: int, given: bool) -> None:
    d, image, p, mask = framed(channels, taps)
    got = []
    for backend in ("cpu", "reference"):
        with degrade.backend(backend):
            got.append(d.apply(image, p, mask, torch.tensor(FRAMES) if given else None))
    assert (got[0] - got[1]).abs().max() < 2e-6
    assert got[1].flatten(1).amax(1)[:5].min() > 0.1
    for (left, top, width, height), one in zip(FRAMES if given else [], got[0], strict=False):
        beside = torch.ones(90, 70, dtype=torch.bool)
        beside[max(top, 0) : top + height, max(left, 0) : left + width] = False
        assert not one[:, beside].any()


@pytest.mark.parametrize("given", [False, True])
def test_frames_of_a_batch_have_the_bits_of_each_alone(given: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    d, image, p, mask = framed(3, 3)
    frame = torch.tensor(FRAMES) if given else None
    one = [
        d.apply(
            image[i : i + 1],
            {k: v[i : i + 1] for k, v in p.items()},
            mask[i : i + 1],
            None if frame is None else frame[i : i + 1],
        )
        for i in range(6)
    ]
    for threads in (1, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert torch.equal(d.apply(image, p, mask, frame), torch.cat(one))


def test_loops_read_nothing_that_nobody_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results and scratch that are full of NaN at first change no bit."""
    from degrade.models.cataract import cpu

    d, image, p, mask = framed(3, 3)
    frames = (None, torch.tensor(FRAMES))
    expected = [d.apply(image, p, mask, frame) for frame in frames]
    monkeypatch.setattr(cpu, "empty", lambda shape, dtype: torch.full(tuple(shape), torch.nan, dtype=dtype))
    for frame, result in zip(frames, expected, strict=True):
        assert torch.equal(d.apply(image, p, mask, frame), result)


@pytest.mark.parametrize("place", [(0, 0), (89, 69), (40, 0), (40, 69), (0, 30), (30, 20)])
def test_bad_pixels_beside_the_frame_are_refused(place: tuple[int, int]) -> None:
    """Also those that no mask and no frame has."""
    d, image, p, mask = framed(3, 3)
    image[1, 2, place[0], place[1]] = torch.nan
    for frame in (None, torch.tensor(FRAMES)):
        with degrade.backend("cpu"), pytest.raises(ValueError, match="image must lie in"):
            d.apply(image, p, mask, frame)


@pytest.mark.parametrize(
    "name",
    ["blur_kernel", "veil_center", "veil", "transmission", "contrast", "brightness", "saturation"],
)
def test_a_wrong_parameter_is_noticed(name: str) -> None:
    """The planted defect: one that is a hundredth more in the loops."""
    image, mask = torch.rand(2, 3, 96, 97, generator=torch.Generator().manual_seed(1)), torch.ones(2, 1, 96, 97)
    d = degrade.recipe("cataract", blur_taps=15)
    p = d.draw(degrade.make_keys(2, 2), 96, 97)
    assert (both(d, image, {**p, name: p[name] * 1.01}, mask)[0] - both(d, image, p, mask)[1]).abs().max() > 1e-4


@pytest.mark.parametrize("taps", [0, 3])
@pytest.mark.parametrize("bad", [float("nan"), -0.01, 1.01])
def test_loops_refuse_bad_pixels(bad: float, taps: int) -> None:
    image = torch.rand(3, 3, 200, 300)
    image[1, 2, 199, 299] = bad
    with degrade.backend("cpu"), pytest.raises(ValueError, match="image must lie in"):
        degrade.recipe("cataract", blur_taps=taps)(image, degrade.make_keys(0, 3), torch.ones(3, 1, 200, 300))


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, 4), 65)
    keys, d = degrade.make_keys(0, 4), degrade.recipe("cataract")
    before = image.clone(), mask.clone()
    expected = torch.cat([d(image[i : i + 1], keys[i : i + 1], mask[i : i + 1]) for i in range(4)])
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert torch.equal(d(image, keys, mask), expected)
    assert torch.equal(image, before[0])
    assert torch.equal(mask, before[1])
