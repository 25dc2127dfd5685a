"""Hypothesis strategies of degrade.testing stay within what they promise, and take every range."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from degrade.testing import strategies


@settings(max_examples=40, deadline=None)
@given(strategies.images(low=0.1, high=0.3, sides=(32, 34)))
def test_images_stay_in_their_range(image: torch.Tensor) -> None:
    """In float16 and bfloat16 too, whose nearest numbers to 0.1 and 0.3 lie outside."""
    assert float(image.double().min()) >= 0.1
    assert float(image.double().max()) <= 0.3


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_noise_parameters_take_any_ends(data: st.DataObject) -> None:
    drawn = data.draw(strategies.noise_parameters(2, eta=(0.4, 1.9), sigma=(0.1, 20)))
    for name, (low, high) in {"eta": (0.4, 1.9), "sigma": (0.1, 20)}.items():
        assert drawn[name].shape == (2,)
        assert low <= float(drawn[name].double().min()) <= float(drawn[name].double().max()) <= high


def test_a_range_without_a_number_of_the_type() -> None:
    with pytest.raises(ValueError, match=r"torch.bfloat16 has no number between them"):
        strategies._inside(0.3001, 0.3002, torch.bfloat16)
