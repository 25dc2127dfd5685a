"""Poisson-Gaussian noise in one kernel: `reference.noisy`, with one read and one write of the image.

The same random words for the same pixels; the same counts but for 1 in 50,000 or fewer (1 in 5,000 for rates above
1e4), which are off by one; the rest to rounding. How float32 is enough:

- The uniform is a 32-bit word, so its distance to the nearer end, its distance to 1/2 and 4 u (1 - u) are each made
  from the integer, with the full relative precision of float32, where the reference needs float64.
- Rates under 6 are summed in float32 as well, but for the last 2^-16 of the upper tail, where the distribution
  function is too close to 1: those few pixels are summed in float64, as the reference does.

A program sums only if it has a pixel with such a rate, no more terms than its largest of them needs, and float64 only
if it has a pixel with such a tail. It asks by a reduction over its pixels; nothing is asked of the host.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from degrade.ops import poisson_constants as poisson
from degrade.rng.gpu import (
    INTERPRETED,
    MOST_SAMPLES,
    Coefficients,
    check_count,
    gaussian,
    log,
    philox,
    polynomial,
    split_key,
)
from degrade.rng.streams import stream_words

_NUMERATOR, _DENOMINATOR = Coefficients(poisson.NUMERATOR), Coefficients(poisson.DENOMINATOR)
_A, _B, _C, _D = (
    Coefficients(numbers) for numbers in (poisson.TEMME_A, poisson.TEMME_B, poisson.TEMME_C, poisson.TEMME_D)
)
_SMALL = tl.constexpr(poisson.SMALL)
_ROOT_2 = tl.constexpr(math.sqrt(2))
_TAG_LOW, _TAG_HIGH = (tl.constexpr(tag) for tag in stream_words("pixel"))

_TAIL = tl.constexpr(1 << 16)  # words in the upper tail that takes float64: there float32's sums are 3 % off the tail
_DARK = tl.constexpr(1.0)  # the rate up to which few terms are enough


def _largest(rate: float, tail: float) -> int:
    """The count that is exceeded with a chance below `tail`."""
    count, term = 0, math.exp(-rate)
    left = 1 - term
    while left >= tail:
        count += 1
        term *= rate / count
        left -= term
    return count


_TERMS_DARK = tl.constexpr(_largest(_DARK.value, _TAIL.value * 2.0**-32))
_TERMS = tl.constexpr(_largest(_SMALL.value, _TAIL.value * 2.0**-32))
_INVERSE_FACTORIALS = Coefficients(tuple(1 / math.factorial(k) for k in range(_TERMS.value)))


@triton.jit
def _any(condition):
    """Whether it holds anywhere in the program: a scalar."""
    return tl.reduce(condition.to(tl.int32), None, tl.standard._elementwise_max) > 0


@triton.jit
def normal_quantile(word):
    """The w with P(N(0, 1) <= w) = (word + 1/2) 2^-32, in float32: `degrade.ops.poisson.normal_quantile`."""
    # both tails, 2 min(u, 1 - u), and 2 u - 1
    tails = tl.fma(tl.minimum(word, word ^ 0xFFFFFFFF).to(tl.float32), 2.0**-31, 2.0**-32)
    centered = tl.fma((word ^ 0x80000000).to(tl.int32, bitcast=True).to(tl.float32), 2.0**-31, 2.0**-32)
    z = tl.sqrt(tl.fma(log(tails * (2.0 - tails)), -0.0625, 0.0625))  # a quarter of the reference's z
    top, bottom = polynomial(z, _NUMERATOR), polynomial(z, _DENOMINATOR)
    root = tl.rsqrt(bottom)  # it lies in [0.5, 31]: the square is an inverse, good but for one step of Newton's
    inverse = root * root
    ratio = top * inverse
    return tl.fma(tl.fma(-bottom, ratio, top), inverse, ratio) * centered


@triton.jit
def large_counts(rate, word):
    """Poisson counts by Temme's expansion, right for rates from 6: `ops.poisson`."""
    whole = tl.floor(rate)
    single = tl.maximum(rate, _SMALL)
    root, inverse_root = tl.sqrt(single), tl.rsqrt(single)
    w = tl.maximum(normal_quantile(word), root * -_ROOT_2)
    s, inverse = w * inverse_root, inverse_root * inverse_root
    rest = tl.fma(tl.fma(polynomial(s, _D), inverse, polynomial(s, _C)), inverse, polynomial(s, _B))
    rest = tl.fma(polynomial(s, _A) * w, w, rest) + (rate - whole)  # the whole part kept out: no precision is lost
    rest = tl.fma(w, root, rest)
    return tl.maximum(tl.floor(rest) + whole, 0.0, tl.PropagateNan.ALL)


@triton.jit
def small_counts(rate, word):
    """Poisson counts by summing, for rates under 6: `ops.poisson`; 0 for rate 0 and below."""
    rate = tl.minimum(rate, _SMALL)  # of the others nothing is used: let them not overflow
    left = tl.exp(rate) * ((word.to(tl.float32) + 0.5) * 2.0**-32) - 1.0
    power = rate
    count = (left > 0).to(tl.float32)
    for k in tl.static_range(1, _TERMS_DARK):
        left = tl.fma(power, -_INVERSE_FACTORIALS[k], left)
        power *= rate
        count += (left > 0).to(tl.float32)
    if _any((rate > _DARK) & (rate < _SMALL)):
        for k in tl.static_range(_TERMS_DARK, _TERMS):
            left = tl.fma(power, -_INVERSE_FACTORIALS[k], left)
            power *= rate
            count += (left > 0).to(tl.float32)
    tail = (word >= 0x100000000 - _TAIL) & (rate > 0) & (rate < _SMALL)
    if _any(tail):
        rate64 = rate.to(tl.float64)
        left64 = tl.exp(rate64) * ((word.to(tl.float64) + 0.5) * 2.0**-32) - 1.0
        power64, k64 = rate64, tl.cast(1.0, tl.float64)
        exact = tl.full(rate.shape, 0.0, tl.float32)
        below = tail & (left64 > 0)
        while _any(below):  # 27 times at most: by then the sum is nearer to exp(rate) than any word
            exact += below.to(tl.float32)
            left64 -= power64
            k64 += 1.0
            power64 *= rate64 * (1.0 / k64)
            below = below & (left64 > 0)
        count = tl.where(tail, exact, count)
    return tl.where(rate > 0, count, 0.0)


@triton.jit(do_not_specialize=["count", "blocks"])
def noise_kernel(output, image, photons, sigma, keys, count, blocks, CLIP: tl.constexpr, BLOCK: tl.constexpr):
    """Blocks `index` of the stream of one sample: its pixels index and index + blocks, joined along a last axis."""
    sample = tl.program_id(1)
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside, inside2 = index < blocks, index < count - blocks
    start = sample.to(tl.int64) * count
    first = tl.load(image + start + index, mask=inside, other=0.0)
    second = tl.load(image + start + blocks + index, mask=inside2, other=0.0)
    scale = tl.load(photons + sample)
    k0, k1 = split_key(tl.load(keys + sample))
    w0, w1, w2, w3 = philox(index.to(tl.uint32), 0, _TAG_LOW, _TAG_HIGH, k0, k1)

    rate = tl.join(first, second).to(tl.float32) * scale
    word = tl.join(w0, w1)
    counts = large_counts(rate, word)
    if _any((rate < _SMALL) & (rate > 0)):
        counts = tl.where(rate < _SMALL, small_counts(rate, word), counts)
    counts = tl.where(rate <= 0, 0.0, counts)

    n2, n3 = gaussian(w2, w3)
    result = tl.fma(tl.join(n2, n3), tl.load(sigma + sample), counts * (1.0 / scale))
    if CLIP:
        result = tl.clamp(result, 0.0, 1.0, tl.PropagateNan.ALL)  # a NaN in an image is to be seen
    first, second = tl.split(result.to(output.dtype.element_ty))
    tl.store(output + start + index, first, mask=inside)
    tl.store(output + start + blocks + index, second, mask=inside2)


_BLOCK = 1 << 14 if INTERPRETED else 256

OPTIONS = {"num_warps": 4, "maxnreg": 80, "enable_fp_fusion": False}
"""Of the launch. The rare float64 would take 93 registers, and the common path the threads that hide its latency.
Products are fused with sums where `fma` says so and nowhere else: light * photons must be rounded to one rate."""


def noisy(image: Tensor, photons: Tensor, sigma: Tensor, keys: Tensor, clip: bool) -> Tensor:
    """Poisson(photons image) / photons + N(0, sigma^2), pixel by pixel, in one kernel and without gradients.

    Waits for nothing, and can be captured in a CUDA graph. A sample's result is the same, bit for bit, in any batch.

    Args:
        image: (B, C, H, W) float32, float16 or bfloat16, at least 0; computed in float32. Fewer than 2**31 numbers
            per sample; the batch may have more.
        photons: (B,) float: photons at image value 1, above 0. photons * image may be up to 1e6.
        sigma: (B,) float: on the image's scale.
        keys: (B,) int64. All on the image's device.
        clip: to [0, 1].

    Returns:
        (B, C, H, W), contiguous, of the image's type.
    """
    if image.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise TypeError(f"image must be float32, float16 or bfloat16; got {image.dtype}")
    if keys.dtype != torch.int64:
        raise TypeError(f"keys must be an int64 tensor, as made by make_keys; got {keys.dtype}")
    for name, tensor in (("photons", photons), ("sigma", sigma), ("keys", keys)):
        if tensor.shape != image.shape[:1] or tensor.device != image.device:
            found = f"{tuple(tensor.shape)} on {tensor.device}"
            raise ValueError(f"{name} must be (B,) = ({image.shape[0]},) on {image.device}; got {found}")
    count = check_count(tuple(image.shape[1:]))
    image = image.contiguous()
    output = torch.empty_like(image)
    if image.numel():
        blocks = -(-count // 2)
        scale, spread = (tensor.to(torch.float32).contiguous() for tensor in (photons, sigma))
        each = zip(*(t.split(MOST_SAMPLES) for t in (output, image, scale, spread, keys.contiguous())), strict=True)
        with torch.cuda.device_of(image):
            for tensors in each:
                grid = triton.cdiv(blocks, _BLOCK), tensors[0].shape[0]
                noise_kernel[grid](*tensors, count, blocks, clip, _BLOCK, **OPTIONS)
    return output
