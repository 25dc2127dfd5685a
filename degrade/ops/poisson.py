"""Poisson counts from uniform numbers: exact quantiles, without rejection and without loops of unknown length.

Let w be the normal quantile of the uniform u, and Q the real number that solves Gamma(Q, rate) / Gamma(Q) = u, which
is the Poisson distribution function continued between the whole numbers; the count is floor(Q). With s = w / sqrt(rate)

    Q = rate (1 + s + s^2 A(s)) + B(s) + C(s) / rate + D(s) / rate^2 + ...

(Temme, "The asymptotic expansion of the incomplete gamma functions", SIAM J. Math. Anal. 10, 1979; turned into a
generator of variates by Giles, "Algorithm 955: approximation of the inverse Poisson cumulative distribution
function", ACM TOMS 42(1), 2016). 1 + s + s^2 A(s) = r solves s^2 / 2 = 1 - r + r ln r with the sign of r - 1; B(s) is
ln(s sqrt(r) / (r - 1)) / ln r. A, B, C, D are polynomials here, fitted by least squares to the exact Q for rates
from 6 up: their error is 5e-5 on average at rate 6, 1e-5 from rate 10, and a count goes wrong by one only where Q is
that close to a whole number. Below 6, the distribution function is summed term by term.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from degrade.ops.poisson_constants import (
    DENOMINATOR,
    LARGEST_RATE,
    NUMERATOR,
    SMALL,
    TEMME_A,
    TEMME_B,
    TEMME_C,
    TEMME_D,
)

_TERMS = 40  # counts up to 39: at rate 6 the chance of more is 2e-19, less than the grain of a float64
_TERMS_BLIND = 28  # where all are always computed: the chance of more is 6e-11, half the grain of a 32-bit word
_LOG_LEAST = -745.0  # of the smallest float64


def poisson(rate: Tensor, uniform: Tensor) -> Tensor:
    """The smallest count k with P(N <= k) >= uniform, N of the Poisson distribution with this rate, elementwise.

    With uniforms that are uniform on [0, 1) the counts are Poisson. They carry as many bits as the uniforms: both
    tails are right for any float64 in [0, 1), denormals included, and uniform 0 gives count 0. Uniforms made of one
    32-bit word, (word + 1/2) 2^-32, cut tails of 2^-33 = 1.2e-10 on either side. On a GPU, and compiled, rates
    under 6 have their upper tail cut there whatever the uniform.

    Counts equal those of exact arithmetic but for about 1 in 50,000 where rates are 6 to 1e4 (1 in 5,000 up to 1e6),
    which are off by one; on different devices, and compiled, they differ from each other as rarely.

    **Gradient.** A count is a step function of its rate: its derivative is zero wherever it exists, and no use. The
    backward pass takes another: with z = (k - rate) / sqrt(rate) held fixed in k = rate + sqrt(rate) z,

        dk/drate = 1 + z / (2 sqrt(rate)) = (1 + k / rate) / 2

    Its mean is 1, and E[2 k dk/drate] = E[k + k^2 / rate] = 2 rate + 1: the derivatives of E[k] = rate and of
    E[k^2] = rate^2 + rate, exactly, hence those of the mean of any quadratic function of k. For other functions it
    is an approximation, good where they are smooth on the scale of sqrt(rate). It is not the gradient of a single
    count. At rate 0, where the count is 0, it is 1: right for E[k], and finite. The uniform gets no gradient.

    Args:
        rate: float32 or float64, in [0, 1e6] (looked at on the CPU alone, where it costs no waiting).
        uniform: float32 or float64, in [0, 1), of the same shape. Give float64: the upper tail of a float32 ends
            at 1 - 6e-8.

    Returns:
        counts, of the shape and type of `rate`.

    >>> poisson(torch.tensor([0.0, 0.5, 100.0, 1e6]), torch.tensor([0.9, 0.9, 0.5, 0.5]))
    tensor([0.0000e+00, 1.0000e+00, 1.0000e+02, 1.0000e+06])
    """
    if rate.dtype not in (torch.float32, torch.float64) or not uniform.is_floating_point():
        raise TypeError(f"rate must be float32 or float64 and uniform float; got {rate.dtype} and {uniform.dtype}")
    if rate.shape != uniform.shape:
        raise ValueError(f"rate {tuple(rate.shape)} and uniform {tuple(uniform.shape)} must have one shape")
    if rate.device.type == "cpu" and rate.numel() and not torch.compiler.is_compiling():
        for name, tensor, limit in (("rate", rate, LARGEST_RATE), ("uniform", uniform, 1.0)):
            low, high = (float(end) for end in torch.aminmax(tensor.detach()))
            if not (low >= 0 and high <= limit):  # false for NaN as well
                raise ValueError(f"{name} must lie in [0, {limit:g}]; it spans [{low:g}, {high:g}]")
    return poisson_unchecked(rate, uniform)


def poisson_unchecked(rate: Tensor, uniform: Tensor) -> Tensor:
    """`poisson` for the models, whose rates and uniforms are right by construction: it does not look at them."""
    counts: Tensor = _Poisson.apply(rate, uniform)  # type: ignore[no-untyped-call]
    return counts


class _Poisson(torch.autograd.Function):
    @staticmethod
    def forward(rate: Tensor, uniform: Tensor) -> Tensor:
        """Counts."""
        uniform = uniform.to(torch.float64)
        rate = rate.contiguous()
        count = _large(rate, uniform.contiguous()).mul_(uniform > 0)
        if rate.device.type != "cpu" or torch.compiler.is_compiling():  # no sizes that depend on data
            return torch.where(rate < SMALL, _small(rate, uniform), count)
        small = (rate < SMALL).flatten().nonzero()[:, 0]
        if small.numel():
            count.view(-1)[small] = _small(rate.flatten()[small], uniform.flatten()[small])
        return count

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        """Keeps what the surrogate needs."""
        ctx.save_for_backward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """The surrogate: (1 + k / rate) / 2."""
        rate, count = ctx.saved_tensors
        ratio = torch.where(rate > 0, count / torch.where(rate > 0, rate, 1.0), 1.0)
        return gradient * (0.5 + 0.5 * ratio), None


def normal_quantile(uniform: Tensor) -> Tensor:
    """The w with P(N(0, 1) <= w) = uniform, float32 to 1e-7 on average; uniform float64 in [0, 1)."""
    tail = torch.minimum(uniform, 1 - uniform)
    logarithm = ((1 - tail) * tail).log_().clamp_min_(_LOG_LEAST)
    z = logarithm.neg_().add_(1 - math.log(4)).to(torch.float32).sqrt_().mul_(0.25)
    centered = ((uniform - 0.5) * 2).to(torch.float32)
    return _polynomial(z, NUMERATOR).div_(_polynomial(z, DENOMINATOR)).mul_(centered)


def _large(rate: Tensor, uniform: Tensor) -> Tensor:
    """floor(Q): counts, right for rates from `SMALL`; smaller ones are taken for that."""
    whole = rate.floor()
    single = rate.to(torch.float32).clamp_min(SMALL)
    root = single.sqrt()
    w = torch.maximum(normal_quantile(uniform), root * -math.sqrt(2))  # s = -sqrt(2) is count 0
    s = w / root
    inverse = single.reciprocal_()
    rest = (
        _polynomial(s, TEMME_D).mul_(inverse).add_(_polynomial(s, TEMME_C)).mul_(inverse).add_(_polynomial(s, TEMME_B))
    )
    rest.add_(_polynomial(s, TEMME_A).mul_(w).mul_(w)).add_((rate - whole).to(torch.float32)).add_(w.mul_(root))
    return rest.floor_().add_(whole).clamp_min_(0) if rate.dtype == torch.float32 else (whole + rest.floor_()).relu_()


def _small(rate: Tensor, uniform: Tensor) -> Tensor:
    """How many of the first values of the distribution function lie below the uniform: for rates under `SMALL`."""
    early = rate.device.type == "cpu" and not torch.compiler.is_compiling()
    rate64 = rate.to(torch.float64)
    left = rate64.exp().mul_(uniform).sub_(1)  # (uniform - distribution function) exp(rate): spares a product a term
    power = torch.ones_like(rate64)
    count = torch.zeros_like(rate64)
    for k in range(1, _TERMS if early else _TERMS_BLIND):
        count += left > 0
        left.sub_(power.mul_(rate64), alpha=1 / math.factorial(k))
        if early and k % 8 == 0 and not bool((left > 0).any()):
            break
    return count.to(rate.dtype)


def _polynomial(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """Horner's rule, on one fresh tensor."""
    total = x * coefficients[-1] + coefficients[-2]
    for coefficient in coefficients[-3::-1]:
        total.mul_(x).add_(coefficient)
    return total
