"""The Triton kernels for keyed numbers and noise against the torch that they stand in for.

Without a GPU they run in Triton's interpreter, which is NumPy: the same algorithm and words, correctly rounded
arithmetic in place of the GPU's. What a GPU would be given is compiled all the same, in a process of its own.
"""

from __future__ import annotations

import math
import os

import pytest
import torch
from torch import Tensor

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # looked at when Triton is imported, and again when a kernel is decorated

pytest.importorskip("triton", reason="the Triton kernels need Triton")

import triton
import triton.language as tl

from degrade.models.poisson_gaussian import gpu as noise
from degrade.models.poisson_gaussian import reference as pixel_noise
from degrade.ops import poisson as functional
from degrade.ops.gaussian import gaussian
from degrade.rng import gpu as random
from degrade.rng import keyed
from degrade.rng.keyed import make_keys
from degrade.rng.streams import WEYL

if not (random.INTERPRETED or torch.cuda.is_available()):
    pytest.skip("degrade.triton was imported without TRITON_INTERPRET, and there is no GPU", allow_module_level=True)

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
interpreted = pytest.mark.skipif(
    not random.INTERPRETED, reason="a compiled kernel keeps the constants it was made with"
)

EDGES = [0, 1, 2**31 - 1, 2**31, 2**32 - 2**16 - 1, 2**32 - 2**16, 2**32 - 2, 2**32 - 1]


@triton.jit
def philox_kernel(inputs, outputs, BLOCK: tl.constexpr):
    place = tl.arange(0, BLOCK)
    c0, c1 = tl.load(inputs + place).to(tl.uint32), tl.load(inputs + BLOCK + place).to(tl.uint32)
    c2, c3 = tl.load(inputs + 2 * BLOCK + place).to(tl.uint32), tl.load(inputs + 3 * BLOCK + place).to(tl.uint32)
    k0, k1 = tl.load(inputs + 4 * BLOCK + place).to(tl.uint32), tl.load(inputs + 5 * BLOCK + place).to(tl.uint32)
    w0, w1, w2, w3 = random.philox(c0, c1, c2, c3, k0, k1)
    tl.store(outputs + place, w0.to(tl.int64))
    tl.store(outputs + BLOCK + place, w1.to(tl.int64))
    tl.store(outputs + 2 * BLOCK + place, w2.to(tl.int64))
    tl.store(outputs + 3 * BLOCK + place, w3.to(tl.int64))


@triton.jit
def words_kernel(words, rates, counts, quantiles, firsts, seconds, BLOCK: tl.constexpr):
    place = tl.arange(0, BLOCK)
    word = tl.load(words + place).to(tl.uint32)
    tl.store(counts + place, noise.small_counts(tl.load(rates + place), word))
    tl.store(quantiles + place, noise.normal_quantile(word))
    first, second = random.gaussian(word, tl.load(words + BLOCK - 1 - place).to(tl.uint32))
    tl.store(firsts + place, first)
    tl.store(seconds + place, second)


def some_words(*shape: int) -> Tensor:
    """The edges first."""
    words = torch.randint(2**32, shape, generator=torch.Generator().manual_seed(0))
    words.view(-1)[: len(EDGES)] = torch.tensor(EDGES)
    return words


def philox(inputs: Tensor) -> Tensor:
    outputs = torch.empty(4, inputs.shape[1], dtype=torch.int64, device=DEVICE)
    philox_kernel[(1,)](inputs.to(DEVICE), outputs, inputs.shape[1])
    return outputs.cpu()


def test_philox() -> None:
    """The reference is held to the published vectors in test_keyed; here are random counters and keys, and zeros."""
    inputs = some_words(6, 512)
    inputs[:, 100] = 0
    expected = torch.stack(keyed.philox(*inputs[:4].clone(), *inputs[4:]))
    assert torch.equal(philox(inputs), expected)
    assert expected[:, 100].tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


@interpreted
def test_philox_with_a_wrong_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = some_words(6, 64)
    right = philox(inputs)
    monkeypatch.setattr(random, "_W1", tl.constexpr(WEYL[1] + 1))
    assert not torch.equal(philox(inputs), right)


@pytest.mark.parametrize("shape", [(3, 33, 35), (1, 1, 1), (2, 8, 8), (1, 1, 2)])
def test_normals(shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """To 1e-5: the reference's angle, up to 2 pi, is rounded to 2.4e-7, and that times a radius up to 6.8."""
    keys = make_keys(4, 3)
    got = random.normals(keys.to(DEVICE), "pixel", shape)
    torch.testing.assert_close(got.cpu(), keyed.normals(keys, "pixel", shape), rtol=0, atol=1e-5)
    monkeypatch.setattr(random, "MOST_SAMPLES", 2)
    assert torch.equal(random.normals(keys.to(DEVICE), "pixel", shape), got)


def test_functions_of_one_word() -> None:
    """Rates under 6 with both tails; quantiles and normals from the edges of a word."""
    words = some_words(4096)
    words[2048:3072] = 2**32 - 1 - 2 ** torch.arange(1024).remainder(32)  # every scale of the upper tail
    rates = torch.rand(4096, generator=torch.Generator().manual_seed(1)) * 6
    rates[3072:] *= 10.0 ** -torch.arange(1024).remainder(12)
    rates[:8], rates[16:24] = 5.99, 0.0
    columns = [torch.empty(4096, device=DEVICE) for _ in range(4)]
    words_kernel[(1,)](words.to(DEVICE), rates.to(DEVICE), *columns, 4096)
    counts, quantiles, *normals = (column.cpu() for column in columns)
    uniform = (words.double() + 0.5) * 2.0**-32
    assert (counts != functional._small(rates, uniform)).sum() <= 1
    off = (quantiles - functional.normal_quantile(uniform)).abs()
    assert off.max() < 4e-6
    assert off.mean() < 3e-7
    for got, expected in zip(normals, gaussian(words, words.flip(0)), strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


def images(batch: int = 2, channels: int = 3) -> Tensor:
    """Of an odd number of pixels; a quarter is black."""
    image = torch.rand(batch, channels, 63, 65, generator=torch.Generator().manual_seed(5))
    image[:, :, :, :16] = 0
    return image


def wrong(photons: float, sigma: float = 0.0, device: str = DEVICE) -> tuple[int, int]:
    """How many counts differ from the reference's, and of how many; none may differ by more than one."""
    image, keys = images(), make_keys(int(photons), 2)
    scale, spread = torch.full((2,), photons), torch.full((2,), sigma)
    tensors = (tensor.to(device) for tensor in (image, scale, spread, keys))
    off = (noise.noisy(*tensors, clip=False).cpu() - pixel_noise.noisy(image, scale, spread, keys)).abs() * photons
    assert off.max() < 1.5
    near = off[off < 0.5]
    assert near.max() <= 1e-6 * photons * (1 + 10 * sigma)
    return off.numel() - near.numel(), off.numel()


LOW, HIGH = (0.3, 1.0, 3.0, 6.0, 8.0, 30.0, 100.0, 1e3, 1e4), (1e5, 1e6)


def check_counts(device: str) -> None:
    """1 in 50,000 for rates up to 1e4, 1 in 5,000 for larger ones."""
    for rates, share in ((LOW, 1 / 50_000), (HIGH, 1 / 5_000)):
        counted = [wrong(rate, device=device) for rate in rates]
        assert sum(bad for bad, _ in counted) <= math.ceil(share * sum(pixels for _, pixels in counted))


def test_counts() -> None:
    check_counts(DEVICE)


@interpreted
@pytest.mark.parametrize("name", ["_A", "_B", "_NUMERATOR"])
def test_counts_with_a_wrong_coefficient(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = getattr(noise, name).value
    monkeypatch.setattr(noise, name, random.Coefficients((first * 1.003, *others)))
    with pytest.raises(AssertionError):
        check_counts(DEVICE)


@pytest.mark.parametrize("sigma", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_noisy(sigma: float, clip: bool, dtype: torch.dtype) -> None:
    image, keys = images().to(dtype), make_keys(1, 2)
    scale, spread = torch.tensor([20.0, 300.0]), torch.full((2,), sigma)
    expected = pixel_noise.noisy(image.float(), scale, spread, keys)
    expected = (expected.clamp(0, 1) if clip else expected).to(dtype)
    got = noise.noisy(image.to(DEVICE), scale.to(DEVICE), spread.to(DEVICE), keys.to(DEVICE), clip)
    assert got.dtype == dtype
    assert got.is_contiguous()
    grain = max(torch.finfo(dtype).eps, 1e-6)  # the float32 results are equal to rounding: so are the stored ones
    torch.testing.assert_close(got.cpu(), expected, rtol=grain, atol=3e-6)


@pytest.mark.parametrize("view", ["crop", "channels_last", "expanded"])
def test_any_memory_layout(view: str) -> None:
    image, keys = images(3), make_keys(2, 3).to(DEVICE)
    image = {
        "crop": image[:, 1:, 3:40, ::2],
        "channels_last": image.contiguous(memory_format=torch.channels_last),
        "expanded": image[:1].expand(3, -1, -1, -1),
    }[view].to(DEVICE)
    scale, spread = torch.full((1,), 50.0, device=DEVICE).expand(3), torch.full((6,), 0.02, device=DEVICE)[::2]
    got = noise.noisy(image, scale, spread, keys, True)
    assert torch.equal(got, noise.noisy(image.clone(memory_format=torch.contiguous_format), scale, spread, keys, True))
    assert got.shape == image.shape


def test_a_sample_does_not_depend_on_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    image, keys = images(5, 1).to(DEVICE), make_keys(6, 5).to(DEVICE)
    scale = torch.tensor([0.5, 20.0, 3.0, 1e4, 1e6], device=DEVICE)
    spread = torch.tensor([0.1, 0.0, 0.2, 0.3, 0.01], device=DEVICE)
    whole = noise.noisy(image, scale, spread, keys, False)
    for i in range(5):
        one = slice(i, i + 1)
        assert torch.equal(noise.noisy(image[one], scale[one], spread[one], keys[one], False), whole[one])
    monkeypatch.setattr(noise, "MOST_SAMPLES", 2)
    assert torch.equal(noise.noisy(image, scale, spread, keys, False), whole)


def test_a_nan_stays_one() -> None:
    image, keys = images(1, 1), make_keys(0, 1)
    image[0, 0, 7, 40] = math.nan
    one = torch.ones(1, device=DEVICE)
    got = noise.noisy(image.to(DEVICE), one * 20, one * 0.1, keys.to(DEVICE), True)
    assert torch.equal(got.isnan().cpu(), image.isnan())


def test_no_images() -> None:
    none = torch.empty(0, device=DEVICE)
    assert noise.noisy(torch.empty(0, 3, 4, 4, device=DEVICE), none, none, none.long(), True).shape == (0, 3, 4, 4)


def test_refusals() -> None:
    one, key, image = torch.ones(1), make_keys(0, 1), torch.ones(1, 1, 2, 2)
    with pytest.raises(TypeError, match="float64"):
        noise.noisy(image.double(), one, one, key, True)
    with pytest.raises(TypeError, match="int64"):
        noise.noisy(image, one, one, one, True)
    with pytest.raises(ValueError, match="photons must be"):
        noise.noisy(image, torch.ones(2), one, key, True)
    with pytest.raises(ValueError, match="2,147,483,648"):
        random.normals(key, "a", (2**11, 2**10, 2**10))
    with pytest.raises(TypeError, match="float64"):
        random.normals(key, "a", (1, 2, 2), torch.float64)
    with pytest.raises(TypeError, match="int64"):
        random.normals(one, "a", (1, 2, 2))


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
def test_on_a_gpu_and_in_a_graph() -> None:
    check_counts("cuda")
    image, keys = images().cuda(), make_keys(1, 2).cuda()
    scale, spread = torch.tensor([20.0, 300.0]).cuda(), torch.tensor([0.02, 0.1]).cuda()
    noise.noisy(image, scale, spread, keys, True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        degraded = noise.noisy(image, scale, spread, keys, True)
    for seed in (2, 3):
        keys.copy_(make_keys(seed, 2))
        graph.replay()
        assert torch.equal(degraded, noise.noisy(image, scale, spread, keys, True))
