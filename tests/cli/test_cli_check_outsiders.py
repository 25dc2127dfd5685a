"""`degrade check` for functions of other kinds: grey, NumPy, Pillow, clipped, rounded, without keys, of another law."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import degrade
from cli.degrade import main
from degrade.testing import adapted, check_draws, check_law, check_range, poisson_gaussian_law

FUNCTIONS = """
import numpy as np
import torch
from PIL import Image

random = np.random.default_rng(0)

def noise(image, eta=0.5, sigma=5):
    return (random.poisson(255 * eta * image) / eta + random.normal(0, sigma, image.shape)) / 255

def grey(image):
    assert image.shape[1] == 1, "grey images alone"
    return torch.from_numpy(noise(image.double().numpy()))

def arrays(image):
    return noise(image)

def clipped(image):
    return noise(image).clip(0, 1)

def bytes_(image):
    return (noise(image).clip(0, 1) * 255).round().astype(np.uint8)

def floored(image):
    return (noise(image).clip(0, 1) * 255).astype(np.uint8)

def pictures(picture):
    found = noise(np.asarray(picture) / 255.0).clip(0, 1)
    return Image.fromarray((found * 255).round().astype(np.uint8))

def speckle(image):
    return image * (1 + 0.1 * torch.randn_like(image))

class speckle_law:
    mean = staticmethod(lambda x: x)
    variance = staticmethod(lambda x: (0.1 * x) ** 2)

    @staticmethod
    def cdf(x, values):
        from scipy.stats import norm
        return norm.cdf(values, x, 0.1 * x)

class wrong_law(speckle_law):
    variance = staticmethod(lambda x: (0.105 * x) ** 2)

def broken(image):
    raise KeyError("nothing of that name")

def stops(image):
    raise NotImplementedError

def shape(image):
    return image[..., 1:]

def text(image):
    return "noise"
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "outsider_functions.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    yield "outsider_functions"
    sys.modules.pop("outsider_functions", None)


def check(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["check", "--samples", "20000", *words])
    assert result.exit_code == code, result.output
    return result.output


RIGHT = {
    "grey": ["--channels", "1"],
    "arrays": ["--takes", "numpy"],
    "clipped": ["--takes", "numpy", "--clip"],
    "bytes_": ["--takes", "numpy", "--bits", "8"],
    "pictures": ["--takes", "pil", "--bits", "8", "--channels", "1"],
    "speckle": ["--law", "outsider_functions:speckle_law"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RIGHT)
def test_right_functions_pass(module: str, name: str) -> None:
    said = check(f"{module}:{name}", "--no-keys", *RIGHT[name])
    assert "FAILED" not in said
    assert "the same keys" not in said
    assert ("channels 0 and 1" in said) == ("--channels" not in RIGHT[name])


@pytest.mark.slow
def test_planted_defects_are_named(module: str) -> None:
    assert "FAILED  variance" in check(
        f"{module}:clipped", "--no-keys", "--takes", "numpy", code=1
    )  # not told of --clip
    assert "FAILED  mean" in check(f"{module}:floored", "--no-keys", "--takes", "numpy", "--bits", "8", code=1)
    assert "FAILED  distribution" in check(
        f"{module}:bytes_", "--no-keys", "--takes", "numpy", "--bits", "8", "--sigma", "6", code=1
    )
    law = ["--law", f"{module}:wrong_law", "--samples", "200000"]
    assert "FAILED  variance" in check(f"{module}:speckle", "--no-keys", *law, code=1)
    assert "FAILED  the same keys give the same picture" in check(f"{module}:arrays", "--takes", "numpy", code=1)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["broken"], 1, "failed: KeyError: 'nothing of that name'"),
        (["stops"], 1, "failed: NotImplementedError"),
        (["shape"], 1, "it returned (5, 1, 48, 39) for images (5, 1, 48, 40)"),
        (["text"], 1, "it returned a str, not a tensor: see --takes"),
        (["grey"], 1, "grey images alone"),
        (
            ["speckle", "--law", "outsider_functions:noise"],
            2,
            "'--law': 'outsider_functions:noise' has no function 'mean'",
        ),
        (["speckle", "--law", "none:f"], 2, "'--law': cannot import 'none:f'"),
        (["speckle", "--device", "tpu"], 2, "'--device'"),
        (["speckle", "--clip", "--plot", "a.png"], 2, "--plot shows noise that is not clipped"),
    ],
)
def test_mistakes_are_one_line(module: str, words: list[str], code: int, message: str) -> None:
    said = check(f"{module}:{words[0]}", *words[1:], code=code)
    assert message in said
    assert "Traceback" not in said


def test_the_clipped_recipe_follows_the_clipped_law() -> None:
    said = check("x-bdcnn", "--clip", "--eta", "0.4", "--sigma", "15")
    assert "0 of 35 checks failed" in said


@pytest.mark.parametrize("bits", [None, 8])
def test_the_clipped_law_has_the_moments_of_a_sample(bits: int | None) -> None:
    law = poisson_gaussian_law(0.4, 20, clip=True, bits=bits)
    image = torch.full((64, 1, 128, 128), 0.02)
    noisy = degrade.recipe("x-bdcnn", eta=0.4, sigma=20.0)(image, degrade.make_keys(0, 64)).double()
    noisy = noisy if bits is None else (noisy * 255).round() / 255
    assert law.mean(0.02) == pytest.approx(float(noisy.mean()), rel=0.01)
    assert law.variance(0.02) == pytest.approx(float(noisy.var()), rel=0.01)
    with pytest.raises(ValueError, match="bits = 7: allowed is None, 8 or 16"):
        poisson_gaussian_law(1, 1, bits=7)


@pytest.mark.parametrize("name", list(degrade.RECIPES))
def test_every_recipe_is_in_range_with_independent_draws(name: str) -> None:
    recipe = degrade.recipe(name)
    failed = [result.message for result in (*check_range(recipe), *check_draws(recipe)) if not result]
    assert not failed


class Twice(degrade.models.PoissonGaussian):
    """Keys in pairs draw the same."""

    def _draw(self, keys: torch.Tensor, height: int, width: int) -> dict[str, torch.Tensor]:
        return super()._draw(keys // 2 * 2, height, width)


class Bright(degrade.models.PoissonGaussian):
    """Results above 1."""

    def _degrade(self, image, *rest):  # type: ignore[no-untyped-def]
        return super()._degrade(image, *rest) + 0.5


def test_planted_defects_of_recipes() -> None:
    assert not all(check_draws(Twice()))
    assert [result.name for result in check_range(Bright()) if not result] == ["range, 1 channels", "range, 3 channels"]


def test_check_law_in_python() -> None:
    noise = adapted(lambda image: image + 0.1 * torch.randn_like(image), keys=False)
    from scipy.stats import norm

    from degrade.testing import Law

    torch.manual_seed(0)
    law = Law(lambda x: x, lambda x: 0.01, lambda x, v: norm.cdf(v, x, 0.1))
    assert all(check_law(noise, law, samples=20_000))
    other = Law(lambda x: x, lambda x: 0.01, lambda x, v: (v - x + 0.3**0.5 / 10 * 1.0).clip(0, 1))
    assert not all(check_law(noise, other, samples=20_000))
