"""Cataract: the gradients that loops make on a CPU are those of the definition."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import degrade
from degrade import Parameters
from tests.gradients import check, gradients, served_by, slope_in_kernel

pytest.importorskip("numba")


def case(
    channels: int = 3, size: tuple[int, int] = (52, 47), **settings: Any
) -> tuple[degrade.Degradation, Tensor, Parameters, Tensor]:
    """Images of noise, the last one black, and masks that leave some of each out; some factors clip what they can."""
    image = torch.rand(6, channels, *size, generator=torch.Generator().manual_seed(0)) ** 0.5
    image[5] = 0
    mask = torch.zeros(6, 1, *size)
    for i in range(6):
        mask[i, :, 3 : 40 + i, 2 + i : 44] = 1
    d = degrade.recipe("cataract", **settings)
    p = d.draw(degrade.make_keys(2, 6), *size)
    p["contrast"][1], p["brightness"][2], p["saturation"][3] = 3, 2, 2
    return d, image, p, mask


@pytest.mark.parametrize(("channels", "frame", "masked"), [(3, "fov", True), (1, "fov", True), (3, "image", False)])
def test_every_gradient_is_the_definitions(channels: int, frame: str, masked: bool) -> None:
    d, image, p, mask = case(channels, frame=frame, blur_taps=(0, 15))
    assert served_by(d, image) == "cpu"
    given = mask if masked else None
    expected = gradients(d, image, p, d.field_of_view(image) if given is None else given, torch.float64)
    assert all(float(value.norm()) > 0 for name, value in expected.items() if channels == 3 or name != "saturation")
    check(gradients(d, image, p, given), expected)


def test_frames_of_several_sizes_that_reach_beyond_the_image() -> None:
    d, image, p, mask = case()
    frame = torch.tensor([[-3, -5, 60, 70], [4, 6, 32, 35], [0, 0, 47, 52], [10, -8, 40, 40], [40, 2, 32, 32]])
    frame = torch.cat([frame, torch.tensor([[-20, 30, 33, 41]])])
    found = (gradients(d, image, p, mask, dtype, frame) for dtype in (torch.float32, torch.float64))
    check(*found)


def test_masks_of_fractions_and_of_nothing() -> None:
    d, image, p, mask = case(frame="image")
    mask[0], mask[1] = torch.rand(mask[0].shape, generator=torch.Generator().manual_seed(1)), 0
    check(gradients(d, image, p, mask), gradients(d, image, p, mask, torch.float64))


def test_neutral_parameters_have_the_definitions_gradients() -> None:
    """Where a stage changes nothing its strength has a gradient, and a fit begins."""
    d, image, p, mask = case()
    p = dict(d.parameter_table.only(p))
    expected = gradients(d, image, p, mask, torch.float64)
    check(gradients(d, image, p, mask), expected)
    names = ("blur_kernel", "veil", "transmission", "contrast", "brightness", "saturation")
    assert all(float(expected[name].norm()) > 0 for name in names)


def test_maxima_share_their_derivative() -> None:
    """Of an image in which many pixels are white, without a blur: all of them move the maximum."""
    d, image, p, mask = case(blur_taps=0)
    image[:5] = (image[:5] * 1.6).clamp(max=1)
    assert int(((image == 1) & (mask == 1)).sum(dim=(2, 3))[:5].min()) > 100
    check(gradients(d, image, p, mask), gradients(d, image, p, mask, torch.float64))


def test_whole_kernels_have_the_gradient_from_above() -> None:
    """At 512 pixels drawn kernels are of odd numbers of taps, also the widest of a batch."""
    image = torch.rand(2, 1, 512, 512, generator=torch.Generator().manual_seed(0)) ** 2
    mask = torch.ones(2, 1, 512, 512)
    d = degrade.recipe("cataract", frame="image")
    p = d.draw(degrade.make_keys(0, 2), 512, 512)
    p["blur_kernel"] = torch.tensor([[3.0, 5.0], [7.0, 1.0]]) / 512
    got = gradients(d, image, p, mask)
    check(got, gradients(d, image, p, mask, torch.float64))
    assert torch.allclose(slope_in_kernel(d, image, p, mask), got["blur_kernel"][:, 0].double(), rtol=1e-3)


def test_a_wrong_term_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted defect: the veil's map is a hundredth thinner on the way back."""
    from degrade.models.cataract import cpu_gradient

    d, image, p, mask = case()
    right, adjoint = gradients(d, image, p, mask, torch.float64), cpu_gradient.loops.cloud_adjoint

    def broken(*given: Any) -> None:
        adjoint(*given[:7], given[7] * 1.01, *given[8:])

    monkeypatch.setattr(cpu_gradient.loops, "cloud_adjoint", broken)
    with pytest.raises(AssertionError, match="image"):
        check(gradients(d, image, p, mask), right)
