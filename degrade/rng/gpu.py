"""Keyed random numbers in Triton: the words of `degrade.rng.keyed`, bit for bit, each call one kernel.

`philox` and `gaussian` are for other kernels to build on; `normals` is the twin of `keyed.normals`. Nothing here waits
for the device, and calls can be captured in a CUDA graph.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from degrade.rng.streams import MULTIPLIERS, ROUNDS, WEYL, signed, stream_words


class Coefficients(tl.constexpr):  # type: ignore[misc]
    """A tuple of numbers that kernels may read; the interpreter does not find the length of a plain constexpr."""

    def __len__(self) -> int:
        return len(self.value)


_M0, _M1 = tl.constexpr(MULTIPLIERS[0]), tl.constexpr(MULTIPLIERS[1])
_W0, _W1 = tl.constexpr(WEYL[0]), tl.constexpr(WEYL[1])
_ROUNDS = tl.constexpr(ROUNDS)

# ln(1 + f) = f + f^2 P(f) to 3e-8 of itself for |f| <= 1/3; and, with t in quarter turns, |t| <= 1/2,
# sin = t S(t^2) to 5e-9, cos = C(t^2) to 3e-8: fitted by least squares, weighted towards the least largest error
_LOG = Coefficients(
    (-0.499999404, 0.333331078, -0.250075728, 0.200160295, -0.164197773, 0.139212981, -0.153706908, 0.143726453)
)
_SIN = Coefficients((1.57079632, -0.64596348, 0.07968023, -0.00460218))
_COS = Coefficients((1.0, -1.23370054, 0.25366920, -0.0208600713, 0.000903631705))

_LN_2 = tl.constexpr(math.log(2))
_TWO_THIRDS = tl.constexpr(0x3F2AAAAB)  # the bits of float32 2/3: mantissas are taken from [2/3, 4/3)


@triton.jit
def polynomial(x, coefficients: tl.constexpr):
    """Horner's rule in float32: `coefficients`, two or more, from the constant up."""
    total = tl.fma(x, coefficients[-1], coefficients[-2])
    for i in tl.static_range(3, len(coefficients) + 1):
        total = tl.fma(total, x, coefficients[len(coefficients) - i])
    return total


@triton.jit
def log(x):
    """ln x for float32 x in [2^-126, 2], to 1e-7 of itself, near 1 too; the library's spends as much on other x."""
    bits = x.to(tl.int32, bitcast=True)
    exponent = (bits - _TWO_THIRDS) & -0x800000  # 2^23 times the power of two
    f = (bits - exponent).to(tl.float32, bitcast=True) - 1.0
    return tl.fma(exponent.to(tl.float32), _LN_2 * 2.0**-23, tl.fma(polynomial(f, _LOG) * f, f, f))


@triton.jit
def philox(c0, c1, c2, c3, k0, k1):
    """Philox4x32-10 on uint32: `degrade.rng.keyed.philox`. Counters and keys broadcast against each other."""
    for _ in tl.static_range(_ROUNDS):
        product0 = tl.cast(c0, tl.uint64) * _M0
        product1 = tl.cast(c2, tl.uint64) * _M1
        c0 = (product1 >> 32).to(tl.uint32) ^ c1 ^ k0
        c2 = (product0 >> 32).to(tl.uint32) ^ c3 ^ k1
        c1 = product1.to(tl.uint32)
        c3 = product0.to(tl.uint32)
        k0 = (k0 + _W0).to(tl.uint32)
        k1 = (k1 + _W1).to(tl.uint32)
    return c0, c1, c2, c3


@triton.jit
def split_key(key):
    """The two uint32 words of an int64 key, lower first."""
    return key.to(tl.uint32), (key >> 32).to(tl.uint32)


@triton.jit
def gaussian(first, second):
    """Two standard normals, float32, from two uint32 words: `degrade.ops.gaussian.gaussian` to 1e-5.

    The angle is reduced in the integer, where that is exact: an eighth of a turn at most is left for the polynomials.
    """
    radius = tl.sqrt(log(tl.fma(first.to(tl.float32), 2.0**-32, 2.0**-33)) * -2.0)
    turned = second + 0x20000000  # the upper two bits count the quarter turns, to the nearest
    turned = turned.to(tl.uint32)
    t = (second << 2).to(tl.int32, bitcast=True).to(tl.float32) * 2.0**-32
    square = t * t
    sine, cosine = polynomial(square, _SIN) * t, polynomial(square, _COS)
    odd = (turned & 0x40000000) != 0
    sine, cosine = tl.where(odd, cosine, sine), tl.where(odd, sine, cosine)
    sine_sign = turned & 0x80000000
    cosine_sign = (turned + 0x40000000).to(tl.uint32) & 0x80000000
    sine = (sine.to(tl.uint32, bitcast=True) ^ sine_sign).to(tl.float32, bitcast=True)
    cosine = (cosine.to(tl.uint32, bitcast=True) ^ cosine_sign).to(tl.float32, bitcast=True)
    return cosine * radius, sine * radius


INTERPRETED = not isinstance(philox, triton.JITFunction)
"""Whether TRITON_INTERPRET was set when this module was imported: kernels then run in NumPy, on CPU tensors."""

MOST_SAMPLES = 65_535
"""In one launch: the most programs along any axis of a grid but the first."""

_BLOCK = 1 << 14 if INTERPRETED else 256


@triton.jit(do_not_specialize=["tag", "count", "blocks"])
def normals_kernel(output, keys, tag: tl.int64, count, blocks, BLOCK: tl.constexpr):
    """Blocks `index` of one sample: its numbers index, index + blocks, index + 2 blocks and index + 3 blocks."""
    sample = tl.program_id(1)
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    k0, k1 = split_key(tl.load(keys + sample))
    c2, c3 = split_key(tag)
    c0 = index.to(tl.uint32)
    w0, w1, w2, w3 = philox(c0, 0, c2, c3, k0, k1)
    n0, n1 = gaussian(w0, w1)
    n2, n3 = gaussian(w2, w3)
    where = output + sample.to(tl.int64) * count + index
    inside = index < blocks
    tl.store(where, n0, mask=inside & (index < count))
    tl.store(where + blocks, n1, mask=inside & (index < count - blocks))
    tl.store(where + 2 * blocks, n2, mask=inside & (index < count - 2 * blocks))
    tl.store(where + 3 * blocks, n3, mask=inside & (index < count - 3 * blocks))


def normals(keys: Tensor, stream: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """`degrade.rng.keyed.normals` in one kernel: the same numbers to 1e-5.

    Args:
        keys: (B,) int64.
        stream: its name.
        shape: of one sample, (C, H, W), with fewer than 2**31 numbers.
        dtype: float32, nothing else.

    Returns:
        (B, *shape) float32.
    """
    _check(keys)
    if dtype != torch.float32:
        raise TypeError(f"dtype must be torch.float32; got {dtype}: degrade.rng.keyed.normals makes others")
    count = check_count(shape)
    output = torch.empty(keys.shape[0], *shape, device=keys.device)
    if output.numel():
        low, high = stream_words(stream)
        blocks = -(-count // 4)
        tag = signed(high << 32 | low)
        with torch.cuda.device_of(keys):
            for some, part in zip(keys.contiguous().split(MOST_SAMPLES), output.split(MOST_SAMPLES), strict=True):
                grid = triton.cdiv(blocks, _BLOCK), some.shape[0]
                normals_kernel[grid](part, some, tag, count, blocks, _BLOCK)
    return output


def check_count(shape: tuple[int, ...]) -> int:
    """How many numbers a sample of this shape has; offsets within one are 32-bit."""
    count = math.prod(shape)
    if count >= 2**31:
        raise ValueError(f"shape must have fewer than 2**31 = 2,147,483,648 elements per sample; got {tuple(shape)}")
    return count


def _check(keys: Tensor) -> None:
    if keys.dtype != torch.int64 or keys.ndim != 1:
        raise TypeError(f"keys must be an int64 tensor (B,); got {keys.dtype} of shape {tuple(keys.shape)}")
