"""Gradients of a degradation in the image and in all continuous parameters, and how they are compared."""

from __future__ import annotations

import torch
from torch import Tensor

import degrade
from degrade import Degradation, Parameters

Found = dict[str, Tensor]


def gradients(
    d: Degradation,
    image: Tensor,
    p: Parameters,
    mask: Tensor | None,
    dtype: torch.dtype = torch.float32,
    frame: Tensor | None = None,
) -> Found:
    """Of a weighted sum of the degraded images."""
    image = image.to(dtype, copy=True).requires_grad_()
    p = {n: v.to(dtype, copy=True).requires_grad_() if v.is_floating_point() else v for n, v in p.items()}
    degraded = d.apply(image, p, None if mask is None else mask.to(dtype), frame)
    weights = torch.randn(degraded.shape, generator=torch.Generator().manual_seed(1)) + 0.3
    (degraded * weights.to(dtype)).sum().backward()
    return {"image": image.grad, **{name: value.grad for name, value in p.items() if value.requires_grad}}  # type: ignore[dict-item]


def check(got: Found, expected: Found, tolerance: float = 1e-4) -> None:
    """Each sample's gradient in each parameter; those that the definition does not have are 0."""
    assert set(got) == set(expected)
    for name, found in got.items():
        value = torch.zeros_like(expected[name]) if found is None else found
        wanted = torch.zeros_like(value).double() if expected[name] is None else expected[name]
        for mine, other in zip(value.double(), wanted, strict=True):
            assert float((mine - other).norm()) <= tolerance * float(other.norm()) + 1e-7, name


def slope_in_kernel(d: Degradation, image: Tensor, p: Parameters, mask: Tensor) -> Tensor:
    """(B,): slope of the same sum in the width of the blur's kernel, to its right, by a difference in float64."""
    weights = torch.randn(image.shape, generator=torch.Generator().manual_seed(1)).double() + 0.3
    step = torch.tensor([1e-7, 0.0], dtype=torch.float64)
    more, less = (
        (d.apply(image.double(), {**p, "blur_kernel": p["blur_kernel"] + by}, mask) * weights).sum((1, 2, 3))
        for by in (step, 0 * step)
    )
    return (more - less) / 1e-7


def served_by(d: Degradation, image: Tensor, gradients: bool = True) -> str:
    """The backend of the recipe's first operation."""
    return degrade.backend.explain(d, image.detach().requires_grad_(gradients)).split("\n")[0].split(": ")[1]
