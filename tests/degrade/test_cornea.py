"""Cornea: its surfaces, its stages, its gradients, and the same look at every resolution."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import degrade
from degrade.models.cornea import surface

QUIET = {"eta": 3000.0, "sigma": 0.0}


def test_surfaces_go_from_zero_to_one() -> None:
    p = degrade.recipe("cornea").draw(degrade.make_keys(0, 200), 384, 384)
    for name in ("gain_shape", "haze_shape"):
        values = surface(p[name], 200, 300)
        assert values.amin() > -0.02
        assert values.amax() < 1.02
        assert torch.allclose(values.amin(dim=(1, 2, 3)), torch.zeros(200), atol=0.03)
        assert torch.allclose(values.amax(dim=(1, 2, 3)), torch.ones(200), atol=0.03)


def test_gain_is_what_it_says() -> None:
    image = torch.full((4, 1, 128, 128), 0.5)
    d = degrade.recipe("cornea", gain_low=0.4, gain_high=1.2, haze=0.0, blur_sigma=1e-5, **QUIET)
    lit = d(image, degrade.make_keys(0, 4)) / 0.5
    assert torch.allclose(lit.amin(dim=(1, 2, 3)), torch.full((4,), 0.4), atol=0.03)
    assert torch.allclose(lit.amax(dim=(1, 2, 3)), torch.full((4,), 1.2), atol=0.03)


def test_stages_alone() -> None:
    image = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.2
    d = degrade.recipe("cornea", blur_sigma=2 / 64)
    p = d.draw(degrade.make_keys(0, 2), 64, 64)
    alone = {name: d.apply(image, q) for name, q in d.stages(p).items()}
    assert list(alone) == ["illumination", "blur", "noise"]
    assert alone["blur"].std() < 0.9 * image.std()
    assert (alone["noise"] - image).mean().abs() < 0.002
    assert (alone["illumination"] - image).abs().mean() > 0.02


def test_noise_has_the_stated_variance() -> None:
    image = torch.full((1, 1, 256, 256), 0.5)
    d = degrade.recipe("cornea", gain_low=1.0, gain_high=1.0, haze=0.0, blur_sigma=1e-5, eta=1.0, sigma=4.0)
    residual = (d(image, degrade.make_keys(0, 1)) - 0.5) * 255
    # 127.5 / eta + sigma^2; a relative error of 4 sqrt(2 / n) is a false alarm in 16,000
    assert float(residual.var()) == pytest.approx(127.5 + 16, rel=4 * (2 / 256**2) ** 0.5)
    assert float(residual.var() * 1.04) != pytest.approx(127.5 + 16, rel=4 * (2 / 256**2) ** 0.5)


def test_degrading_and_shrinking_commute() -> None:
    generator = torch.Generator().manual_seed(0)
    large = functional.interpolate(torch.rand(2, 1, 48, 48, generator=generator), scale_factor=16, mode="bilinear")
    small = functional.avg_pool2d(large, 2)
    d, keys = degrade.recipe("cornea", **QUIET), degrade.make_keys(0, 2)
    difference = functional.avg_pool2d(d(large, keys), 2) - d(small, keys)
    assert difference.abs().mean() < 0.5 / 255


def test_gradcheck_without_noise() -> None:
    """The noise's own gradient is a surrogate, tested on its own; illumination and blur have exact ones."""
    image = 0.3 + 0.2 * torch.rand(1, 1, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    d = degrade.recipe("cornea")
    p = {n: v.double() if v.is_floating_point() else v for n, v in d.draw(degrade.make_keys(0, 1), 32, 32).items()}
    names = ["gain_low", "gain_high", "haze", "gain_shape", "haze_shape", "blur_sigma"]
    weights = torch.linspace(-1, 1, 32, dtype=torch.float64)

    def loss(image: Tensor, *values: Tensor) -> Tensor:
        noiseless = {
            **p,
            **dict(zip(names, values, strict=True)),
            "sigma": torch.zeros(1),
            "eta": torch.tensor([3900.0]),
        }
        degraded: Tensor = d.apply(image, noiseless)
        return (degraded * weights).sum()

    leaves = [value.clone().requires_grad_() for value in (image, *(p[name] for name in names))]
    loss(*leaves).backward()
    for leaf in leaves:
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()
        assert leaf.grad.abs().sum() > 0


# the loops for a CPU


def _both(d: degrade.Degradation, image: Tensor, p: degrade.Parameters) -> tuple[Tensor, Tensor]:
    with degrade.backend("cpu"):
        got = d.apply(image, p)
    with degrade.backend("reference"):
        return got, d.apply(image, p)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(33, 47), (70, 41), (150, 700)])
@pytest.mark.parametrize("blur", [1e-5, 0.5 / 384, 0.02, 0.1])
def test_loops_are_the_definition(channels: int, size: tuple[int, int], blur: float) -> None:
    """Illumination and blur, from none to kernels as wide as four fifths of the side; the noise is off."""
    image = torch.rand(3, channels, *size, generator=torch.Generator().manual_seed(1))
    d = degrade.recipe("cornea", blur_sigma=blur, sigma=0.0)
    p = d.draw(degrade.make_keys(2, 3), *size)
    p["eta"] = torch.full_like(p["eta"], 3900.0)
    got, expected = _both(d, image, p)
    assert (got - expected).abs().max() < 1.2 / (3900 * 255)  # of a million photons: a pixel's last bits move one


def test_loops_draw_the_same_noise() -> None:
    image = torch.rand(3, 1, 101, 103, generator=torch.Generator().manual_seed(1))
    d = degrade.recipe("cornea")
    got, expected = _both(d, image, d.draw(degrade.make_keys(2, 3), 101, 103))
    assert ((got - expected).abs() > 1e-5).float().mean() < 1e-4


@pytest.mark.parametrize("name", ["gain_low", "gain_high", "gain_shape", "haze", "haze_shape", "blur_sigma", "sigma"])
def test_a_wrong_parameter_is_noticed(name: str) -> None:
    """The planted defect: one that is a hundredth more in the loops."""
    image = torch.rand(2, 1, 64, 65, generator=torch.Generator().manual_seed(1))
    d = degrade.recipe("cornea", eta=3900.0)
    p = d.draw(degrade.make_keys(2, 2), 64, 65)
    got, expected = _both(d, image, p)[1], _both(d, image, {**p, name: p[name] * 1.01})[0]
    assert ((got - expected).abs() > 1e-5).float().mean() > 0.1


@pytest.mark.parametrize("bad", [float("nan"), -0.01, 1.01])
def test_loops_refuse_bad_pixels(bad: float) -> None:
    image = torch.rand(3, 1, 200, 300)
    image[1, 0, 199, 299] = bad
    with degrade.backend("cpu"), pytest.raises(ValueError, match="image must lie in"):
        degrade.recipe("cornea")(image, degrade.make_keys(0, 3))


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image, keys = torch.rand(4, 1, 64, 65, generator=torch.Generator().manual_seed(1)), degrade.make_keys(0, 4)
    d = degrade.recipe("cornea")
    expected = torch.cat([d(image[i : i + 1], keys[i : i + 1]) for i in range(4)])
    before = image.clone()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert torch.equal(d(image, keys), expected)
    assert torch.equal(image, before)
