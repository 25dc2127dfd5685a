"""Random numbers addressed by (key, stream, index): the one source of randomness in this package.

The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011),
written in plain int64 tensor arithmetic, which is its definition: every device and every compiled version (Numba's on
a CPU, Triton's on a GPU) must give the same bits. A key is one int64 per sample. A named stream is the upper half of
Philox's 128-bit counter, the index of a number within the stream its lower half, so that no number is ever used for two
things, and a sample's numbers depend on its key alone: not on the batch around it, nor on worker, process, device or
order of calls.
"""

from __future__ import annotations

import functools
import hashlib
import math
import operator
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from degrade.backend import Operation, run
from degrade.isolation import check_storage
from degrade.ops.constant import constant
from degrade.ops.gaussian import gaussian
from degrade.rng.streams import MULTIPLIERS, ROUNDS, WEYL, Words, signed, stream_words

Keys = Tensor | Sequence[str] | Sequence[int]
"""Keys (B,) as `make_keys` returns them; or ids, names or whole numbers, which stand for `make_keys(0, ids)`."""

_MASK = 0xFFFFFFFF

_PHILOX = Operation("rng.philox", cpu="degrade.rng.cpu:philox")
_FOLD_IN = Operation("rng.fold_in", cpu="degrade.rng.cpu:fold_in")
_UNIFORMS = Operation("rng.uniforms", cpu="degrade.rng.cpu:uniforms")
_NORMALS = Operation("rng.normals", gpu="degrade.rng.gpu:normals")

BLOCK = 32_768
"""Blocks to ask of `words` at once: small enough to stay in a CPU's second-level cache."""


def philox(c0: Tensor, c1: Tensor, c2: Tensor, c3: Tensor, k0: Tensor, k1: Tensor) -> Words:
    """Philox4x32-10: four 32-bit words of counter and two of key become four words of output.

    All arguments are int64 tensors holding values in [0, 2**32). The counters share one shape, the keys broadcast
    to it. **The counters are overwritten and returned.**

    >>> zero = [torch.zeros(1, dtype=torch.int64) for _ in range(6)]
    >>> [hex(int(word)) for word in philox(*zero)]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    counters = (c0, c1, c2, c3)

    def refuses(_: str) -> str:
        return "" if all(counter.is_contiguous() for counter in counters) else "counters are not contiguous"

    mixed: Words = run(_PHILOX, _philox, (*counters, k0, k1), c0.device, refuses=refuses)
    return mixed


def _philox(c0: Tensor, c1: Tensor, c2: Tensor, c3: Tensor, k0: Tensor, k1: Tensor) -> Words:
    product0, product1 = torch.empty_like(c0), torch.empty_like(c0)
    for round_ in range(ROUNDS):
        if round_:
            k0, k1 = (k0 + WEYL[0]) & _MASK, (k1 + WEYL[1]) & _MASK
        torch.mul(c0, MULTIPLIERS[0], out=product0)
        torch.mul(c2, MULTIPLIERS[1], out=product1)
        torch.bitwise_right_shift(product1, 32, out=c0)  # the shift copies the sign: the mask takes it off
        c0.bitwise_and_(_MASK).bitwise_xor_(c1).bitwise_xor_(k0)
        torch.bitwise_right_shift(product0, 32, out=c2)
        c2.bitwise_and_(_MASK).bitwise_xor_(c3).bitwise_xor_(k1)
        torch.bitwise_and(product1, _MASK, out=c1)
        torch.bitwise_and(product0, _MASK, out=c3)
    return c0, c1, c2, c3


def _check(keys: Tensor) -> None:
    if keys.dtype != torch.int64:
        raise TypeError(f"keys must be an int64 tensor, as made by make_keys; got {keys.dtype}")
    check_storage(keys)


def _split(keys: Tensor) -> tuple[Tensor, Tensor]:
    _check(keys)
    return keys & _MASK, (keys >> 32) & _MASK


def fold_in(keys: Tensor, data: int | str | Tensor) -> Tensor:
    """New keys from `keys` and `data`; equal arguments give equal keys, different ones independent keys.

    Args:
        keys: int64, any shape.
        data: an int (its lowest 64 bits count), a string, or an int64 tensor that broadcasts against `keys`.

    Returns:
        int64 keys of the broadcast shape, on the keys' device.

    >>> keys = make_keys(0, 2)
    >>> fold_in(keys, "noise").shape
    torch.Size([2])
    """
    _check(keys)
    if isinstance(data, str):
        data = _tag(data)
    if isinstance(data, int):
        data = constant(signed(data), torch.int64, keys.device)
    data = data.to(device=keys.device, dtype=torch.int64)
    # torch.broadcast_shapes would import sympy: half a second
    keys, data = torch.broadcast_tensors(keys, data)  # type: ignore[no-untyped-call]
    folded: Tensor = run(_FOLD_IN, _fold_in, (keys, data, stream_words("fold_in")), keys.device)
    return folded


def _fold_in(keys: Tensor, data: Tensor, tags: tuple[int, int]) -> Tensor:
    """`fold_in` of keys and data of one shape; `tags` are the upper half of the counters."""
    low, high = _split(data)
    k0, k1 = _split(keys)
    c2, c3 = (keys.new_full(keys.shape, tag) for tag in tags)
    w0, w1, _, _ = philox(low.clone(), high.clone(), c2, c3, k0, k1)
    return (w1 << 32) | w0


@functools.lru_cache(maxsize=256)
def _tag(name: str) -> int:
    return string_id(name)


def string_id(name: str) -> int:
    """The 64-bit number that stands for a sample's name in `make_keys`: BLAKE2b of its UTF-8 bytes, signed.

    >>> string_id("drive_01") == string_id("drive_01") != string_id("drive_02")
    True
    """
    digest = hashlib.blake2b(name.encode(), digest_size=8, person=b"degrade.id").digest()
    return signed(int.from_bytes(digest, "little"))


def _id(name: Any) -> int:
    """The number that stands for an entry of `ids`: a name's hash, a number itself."""
    if isinstance(name, str):
        return string_id(name)
    if isinstance(name, Integral) and not isinstance(name, bool):
        return signed(int(name))
    raise TypeError(f"ids must be strings or whole numbers; got {name!r}, a {type(name).__name__}")


def make_keys(
    seed: int, ids: int | Tensor | Sequence[str] | Sequence[int], epoch: int = 0, view: int | Tensor = 0
) -> Tensor:
    """One key per sample, from the seed of the run, the epoch, the sample's id and the view's number.

    Args:
        seed: any integer (its lowest 64 bits count).
        ids: who the samples are: strings (paths, usually), whole numbers (a list, an array or a tensor (B,)), or an
            int B for 0..B-1.
        epoch: another epoch, another degradation of the same picture.
        view: which of several degradations of one picture in one epoch; an int or an integer tensor (B,).
            View 0 is the key itself, so `view_keys(make_keys(seed, ids), k) == make_keys(seed, ids, view=k)`.

    Returns:
        (B,) int64, on the device of `ids` (the CPU for strings).

    >>> a = make_keys(7, ["left/drive_01", "right/drive_01"])
    >>> b = make_keys(7, ["right/drive_01"])
    >>> bool(a[1] == b[0])
    True
    """
    seed, epoch = operator.index(seed), operator.index(epoch)
    if isinstance(ids, (int, Integral)):
        ids = torch.arange(int(ids), device="cpu")
    elif isinstance(ids, str):
        raise TypeError(f"ids must be a list of strings, one per sample; got the single string {ids!r}")
    elif not isinstance(ids, Tensor):
        ids = torch.tensor([_id(name) for name in ids], dtype=torch.int64, device="cpu")
    if ids.is_floating_point() or ids.is_complex() or ids.ndim != 1:
        raise TypeError(f"ids must be integers of shape (B,) or strings; got {ids.dtype} of shape {tuple(ids.shape)}")
    run = fold_in(torch.tensor([signed(seed)], device=ids.device), epoch)
    return view_keys(fold_in(run, ids.to(torch.int64)), view)


def view_keys(keys: Tensor, view: int | Tensor) -> Tensor:
    """The keys of view number `view` of each sample: the keys themselves for view 0, `fold_in` of it otherwise.

    Args:
        keys: (B,) int64.
        view: an int, or an integer tensor that broadcasts against `keys`: `torch.arange(K)[:, None]` gives (K, B).
    """
    if not isinstance(view, Tensor):
        view = operator.index(view)
        return fold_in(keys, view) if view else keys
    view = view.to(device=keys.device, dtype=torch.int64)
    return torch.where(view == 0, keys, fold_in(keys, view))


def as_keys(keys: Keys) -> Tensor:
    """Int64 keys as they are, and the keys of ids: `make_keys(0, ids)`.

    Raises:
        TypeError: neither a tensor nor a list or tuple of names and whole numbers.
    """
    if isinstance(keys, Tensor):
        return keys.as_subclass(Tensor)
    if not isinstance(keys, (list, tuple)):
        got = f"{type(keys).__name__} {keys!r:.80}"
        raise TypeError(f"keys must be an int64 tensor, as made by make_keys, or a list of ids; got {got}")
    return make_keys(0, keys)


def random_keys(batch: int, device: torch.device | str = "cpu") -> Tensor:
    """(B,) int64 keys from torch's global CPU generator: what a caller who gives no keys gets."""
    bounds = torch.iinfo(torch.int64)
    return torch.randint(bounds.min, bounds.max, (batch,)).to(device)


def uniforms(keys: Tensor, streams: Mapping[str, int]) -> dict[str, Tensor]:
    """Uniform numbers in [0, 1) for several named streams in one pass over the generator.

    Args:
        keys: (B,) int64.
        streams: how many numbers of each stream.

    Returns:
        for each stream (B, count) float64: multiples of 2**-32, hence exact, and the same on every device.

    >>> drawn = uniforms(make_keys(0, 3), {"brightness": 1, "spot_center": 8})
    >>> drawn["spot_center"].shape, drawn["spot_center"].dtype
    (torch.Size([3, 8]), torch.float64)
    """
    _check(keys)
    counters, wanted = layout(tuple(streams.items()), keys.device)
    numbers: Tensor = run(_UNIFORMS, _uniforms, (keys, counters, wanted), keys.device)
    return dict(zip(streams, torch.split(numbers, list(streams.values()), dim=1), strict=True))


def _uniforms(keys: Tensor, counters: Tensor, wanted: Tensor) -> Tensor:
    """Numbers (B, n) in [0, 1) of keys (B,): those `wanted` (n,) of the words that counters (4, N) give."""
    c0, c1, c2, c3 = counters[:, None].repeat(1, keys.shape[0], 1)
    k0, k1 = (word[:, None] for word in _split(keys))
    drawn = torch.stack(philox(c0, c1, c2, c3, k0, k1), dim=-1).flatten(1)
    return drawn[:, wanted].to(torch.float64) * 2.0**-32


@functools.lru_cache(maxsize=256)
def layout(streams: tuple[tuple[str, int], ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Of `uniforms` of several streams: the counters (4, N) of their blocks, and which of the 4 N words are wanted."""
    counters: list[tuple[int, int, int, int]] = []
    wanted: list[int] = []
    for stream, count in streams:
        wanted.extend(range(4 * len(counters), 4 * len(counters) + count))
        counters.extend((number, 0, *stream_words(stream)) for number in range(-(-count // 4)))
    rows = tuple(zip(*counters, strict=True))
    return constant(rows, torch.int64, device).reshape(4, -1), constant(tuple(wanted), torch.int64, device)


def words(keys: Tensor, stream: str, start: int, stop: int) -> Words:
    """Words `start` to `stop` (counted in blocks of four) of one stream: four (B, stop - start) int64 in [0, 2**32).

    Long stretches (noise for every pixel) are best asked for `BLOCK` at a time: a working set that stays in the
    cache is fifteen times faster on a CPU than whole images at once.

    >>> whole = words(make_keys(0, 2), "noise", 0, 6)
    >>> part = words(make_keys(0, 2), "noise", 4, 6)
    >>> all(torch.equal(w[:, 4:], p) for w, p in zip(whole, part))
    True
    """
    index = torch.arange(start, stop, device=keys.device)
    shape = (keys.shape[0], stop - start)
    k0, k1 = (word[:, None] for word in _split(keys))
    c0, c1 = (half.expand(shape).clone() for half in _split(index))
    c2, c3 = (keys.new_full(shape, tag) for tag in stream_words(stream))
    return philox(c0, c1, c2, c3, k0, k1)


def normals(keys: Tensor, stream: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal numbers for every pixel.

    Args:
        keys: (B,) int64.
        stream: its name.
        shape: of one sample, (C, H, W).
        dtype: float32 or float64.

    Returns:
        (B, *shape). Number i of the n = C H W is made from block i mod ceil(n / 4) of the stream.

    >>> normals(make_keys(0, 2), "noise", (3, 32, 32)).shape
    torch.Size([2, 3, 32, 32])
    """

    def refuses(_: str) -> str:
        return "" if dtype == torch.float32 else "float64 numbers are asked for"

    drawn: Tensor = run(_NORMALS, _normals, (keys, stream, shape, dtype), keys.device, refuses=refuses)
    return drawn


def _normals(keys: Tensor, stream: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    count = math.prod(shape)
    blocks = -(-count // 4)
    output = torch.empty(keys.shape[0], 4, blocks, dtype=dtype, device=keys.device)
    rows = 1 if keys.device.type == "cpu" else keys.shape[0]
    columns = BLOCK if keys.device.type == "cpu" else blocks
    for row in range(0, keys.shape[0], rows or 1):
        for start in range(0, blocks, columns):
            stop = min(start + columns, blocks)
            w0, w1, w2, w3 = words(keys[row : row + rows], stream, start, stop)
            four = (*gaussian(w0, w1, dtype), *gaussian(w2, w3, dtype))
            for part, numbers in enumerate(four):
                output[row : row + rows, part, start:stop] = numbers
    return output.view(keys.shape[0], 4 * blocks)[:, :count].reshape(-1, *shape)
