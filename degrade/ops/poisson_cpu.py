"""Poisson counts from 32-bit words as vectorised loops: `degrade.ops.poisson` in float32, for a block at a time.

The same counts as the definition's but for 1 in 50,000 or fewer (1 in 5,000 for rates above 1e4), which are off by one.
How float32 is enough:

- Rates from 6 up: the uniform is a 32-bit word, so both tails, 2 min(u, 1 - u), and 2 u - 1 are made from the integer
  with the full relative precision of float32, where the definition needs float64.
- Rates under 6 are summed in float32, but for the last 2^-16 of the upper tail, where the distribution function is too
  close to 1: those few pixels are summed in float64, as the definition does.

Loops are short and each leaves its results in the first-level cache for the next: what a loop has stored cannot be
reordered with what the next one does.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.jit.compiler import inner_kernel, loop_kernel
from degrade.jit.rows import int32_of
from degrade.ops import poisson_constants as poisson

Array = NDArray[np.float32]
Words = NDArray[np.int32]

SCRATCH = 7
"""Rows of scratch memory that `poisson_counts` needs, each as long as the block."""

_FIRST_PASSES = 6  # of four terms each: at rate 6 the chance of more than 24 counts is under that of the tail
_TAIL = np.int32(1 << 16)  # words in the upper tail that takes float64: there float32's sums are 3 % off the tail
_ZERO, _HALF, _ONE, _TWO = (np.float32(number) for number in (0, 0.5, 1, 2))
_SMALL = np.float32(poisson.SMALL)
_ROOT_2 = np.float32(math.sqrt(2))
_GRAIN, _TWO_GRAINS = np.float32(2.0**-32), np.float32(2.0**-31)
_SIXTEENTH = np.float32(1 / 16)
_LN2, _LOG2E = np.float32(math.log(2)), np.float32(1 / math.log(2))


def _singles(numbers: tuple[float, ...]) -> tuple[Any, ...]:
    return tuple(np.float32(number) for number in numbers)


_NUMERATOR, _DENOMINATOR = _singles(poisson.NUMERATOR), _singles(poisson.DENOMINATOR)
_A, _B, _C, _D = (_singles(numbers) for numbers in (poisson.TEMME_A, poisson.TEMME_B, poisson.TEMME_C, poisson.TEMME_D))
_FACTORIALS = np.array([1 / math.factorial(k) for k in range(4 * _FIRST_PASSES + 1)], np.float32)
# ln(1 + x) = x - x^2 / 2 + x^3 P(x) between sqrt(1/2) and sqrt(2), from S. L. Moshier's Cephes library
_LOG = _singles(
    (
        *(3.3333331174e-1, -2.4999993993e-1, 2.0000714765e-1, -1.6668057665e-1, 1.4249322787e-1),
        *(-1.2420140846e-1, 1.1676998740e-1, -1.1514610310e-1, 7.0376836292e-2),
    )
)
# exp(x) = 1 + x + x^2 P(x) for |x| up to ln(2) / 2, from there too
_EXP = _singles((5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3, 1.9875691500e-4))


@loop_kernel
def poisson_counts(words: Words, rate: Array, scratch: Array, counts: Array) -> None:
    """The Poisson quantiles of uniforms (word + 1/2) 2^-32, elementwise, into `counts`.

    Args:
        words: (n,) the words' bits as int32.
        rate: (n,) 0 to 1e6.
        scratch: (SCRATCH, n) to write to.
        counts: (n,) to write to.
    """
    size = len(rate)
    small = np.int32(0)
    for j in range(size):
        small += np.int32(1) if rate[j] < _SMALL else np.int32(0)
    if small == size:
        _small_counts(words, rate, scratch, counts)
        return
    _large_counts(words, rate, scratch, counts)
    if small:
        few, places = int32_of(scratch[3]), int32_of(scratch[4])
        low, found = scratch[5], scratch[6]
        n = 0
        for j in range(size):  # without a jump that cannot be foreseen: what is not small is overwritten
            places[n] = j
            n += 1 if rate[j] < _SMALL else 0
        for k in range(n):
            few[k] = words[places[k]]
            low[k] = rate[places[k]]
        _small_counts(few[:n], low[:n], scratch, found)
        for k in range(n):
            counts[places[k]] = found[k]


@inner_kernel
def _large_counts(words: Words, rate: Array, scratch: Array, counts: Array) -> None:
    """Temme's expansion, right for rates from 6."""
    size = len(rate)
    a, b, rest = scratch[0], scratch[1], scratch[2]
    bits = int32_of(a)
    for j in range(size):
        whole = np.floor(rate[j])
        counts[j] = whole
        rest[j] = rate[j] - whole  # the whole part is kept out: no precision is lost
    for j in range(size):
        word = words[j]
        tails = np.float32(np.int32(word ^ (word >> np.int32(31)))) * _TWO_GRAINS + _GRAIN
        a[j] = tails * (_TWO - tails)  # 4 u (1 - u)
    for j in range(size):  # 2^e m, m between sqrt(1/2) and sqrt(2)
        exponent = np.int32(np.int32(bits[j] - np.int32(0x3F3504F3)) >> np.int32(23))
        bits[j] = bits[j] - np.int32(exponent << np.int32(23))
        b[j] = np.float32(exponent) * _LN2
    for j in range(size):
        x = a[j] - _ONE
        x2 = x * x
        p0, p1, p2, p3, p4, p5, p6, p7, p8 = _LOG
        x4 = x2 * x2
        low, high = (p0 + p1 * x) + x2 * (p2 + p3 * x), (p4 + p5 * x) + x2 * (p6 + p7 * x)
        logarithm = b[j] + (x - x2 * (_HALF - x * (low + x4 * (high + x4 * p8))))
        a[j] = math.sqrt(_SIXTEENTH - _SIXTEENTH * logarithm)
    for j in range(size):
        z = a[j]
        z2 = z * z
        z4 = z2 * z2
        n0, n1, n2, n3, n4, n5, n6, n7 = _NUMERATOR
        d0, d1, d2, d3, d4, d5, d6 = _DENOMINATOR
        top = (n0 + n1 * z + z2 * (n2 + n3 * z)) + z4 * (n4 + n5 * z + z2 * (n6 + n7 * z))
        bottom = (d0 + d1 * z + z2 * (d2 + d3 * z)) + z4 * (d4 + d5 * z + z2 * d6)
        centered = np.float32(np.int32(words[j] ^ np.int32(-(2**31)))) * _TWO_GRAINS + _GRAIN
        b[j] = top / bottom * centered  # the normal quantile
    for j in range(size):
        single = max(rate[j], _SMALL)
        root = math.sqrt(single)
        inverse = _ONE / single
        w = max(b[j], -_ROOT_2 * root)  # s = -sqrt(2) is count 0
        s = w * root * inverse
        s2 = s * s
        s4 = s2 * s2
        b0, b1, b2, b3, b4, b5, b6 = _B
        c0, c1, c2, c3, c4 = _C
        d0, d1, d2 = _D
        third = (c0 + c1 * s + s2 * (c2 + c3 * s)) + s4 * c4 + inverse * (d0 + d1 * s + s2 * d2)
        second = (b0 + b1 * s + s2 * (b2 + b3 * s)) + s4 * (b4 + b5 * s + s2 * b6)
        a[j] = second + inverse * third + w * root
        b[j] = w
    for j in range(size):
        single = max(rate[j], _SMALL)
        w = b[j]
        s = w / math.sqrt(single)
        s2 = s * s
        s4 = s2 * s2
        a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12 = _A
        low = (a0 + a1 * s + s2 * (a2 + a3 * s)) + s4 * (a4 + a5 * s + s2 * (a6 + a7 * s))
        first = low + s4 * s4 * ((a8 + a9 * s + s2 * (a10 + a11 * s)) + s4 * a12)
        counts[j] = max(np.floor(first * (w * w) + rest[j] + a[j]) + counts[j], _ZERO)


@inner_kernel
def _small_counts(words: Words, rate: Array, scratch: Array, counts: Array) -> None:
    """How many values of the distribution function lie below the uniform, for rates under 6; uses two rows of scratch.

    All is times exp(rate), which spares a product a term.
    """
    size = len(rate)
    left, power = scratch[0], scratch[1]
    bits = int32_of(power)
    tails = np.int32(0)
    for j in range(size):
        whole = np.floor(rate[j] * _LOG2E + _HALF)
        x = rate[j] - whole * _LN2
        p0, p1, p2, p3, p4, p5 = _EXP
        x2 = x * x
        left[j] = _ONE + x + x2 * ((p0 + p1 * x) + x2 * (p2 + p3 * x + x2 * (p4 + p5 * x)))
        bits[j] = np.int32(np.int32(whole) + np.int32(127)) << np.int32(23)
        tails += np.int32(1) if (words[j] < np.int32(0)) & (words[j] >= -_TAIL) else np.int32(0)
    most = _ZERO
    for j in range(size):
        uniform = (np.float32(np.uint32(words[j])) + _HALF) * _GRAIN
        rest = left[j] * power[j] * uniform - _ONE
        left[j] = rest
        counts[j] = _ONE if rest > _ZERO else _ZERO
        power[j] = rate[j]
        most = max(most, rest)
    for k in range(1, 4 * _FIRST_PASSES, 4):
        if most <= _ZERO:
            break
        most = _ZERO
        f1, f2, f3, f4 = _FACTORIALS[k], _FACTORIALS[k + 1], _FACTORIALS[k + 2], _FACTORIALS[k + 3]
        for j in range(size):
            light, term = rate[j], power[j]
            after1 = left[j] - f1 * term
            term *= light
            after2 = after1 - f2 * term
            term *= light
            after3 = after2 - f3 * term
            term *= light
            after4 = after3 - f4 * term
            power[j] = term * light
            count = (_ONE if after1 > _ZERO else _ZERO) + (_ONE if after2 > _ZERO else _ZERO)
            count += (_ONE if after3 > _ZERO else _ZERO) + (_ONE if after4 > _ZERO else _ZERO)
            counts[j] += count
            left[j] = after4
            most = max(most, after4)
    if tails:
        for j in range(size):
            if words[j] < np.int32(0) and words[j] >= -_TAIL:
                counts[j] = _tail_count(np.float64(np.uint32(words[j])), np.float64(rate[j]))


@inner_kernel
def _tail_count(word: float, rate: float) -> Any:
    left = math.exp(rate) * ((word + 0.5) * 2.0**-32) - 1.0
    count, term = 0.0, 1.0
    while left > 0.0 and count < 60.0:  # 27 at most: by then the sum is nearer to exp(rate) than any word
        count += 1.0
        term *= rate / count
        left -= term
    return np.float32(count)
