"""Plots of `degrade fit` and `degrade check`: what is drawn are the numbers, and no global state is touched."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import stats

import degrade
from degrade import figures
from degrade.fit.noise import from_images
from degrade.fit.plot import plot_fit
from degrade.testing.plot import model_quantiles, plot_noise
from tests.degrade.test_fit_noise import noisy, scene


@pytest.fixture(scope="module")
def fit():
    return from_images([noisy(scene() * 1.3, 0.3, 8)])  # bright places are clipped


def test_a_fit_shows_bins_line_and_band(fit):
    (axes,) = plot_fit(fit, "1 image").axes
    used, left_out = (container[0].get_xydata() for container in axes.containers)
    np.testing.assert_allclose(used, np.stack([fit.bins.mean, fit.bins.variance], 1)[fit.bins.used])
    np.testing.assert_allclose(left_out, np.stack([fit.bins.mean, fit.bins.variance], 1)[~fit.bins.used])
    bars = axes.containers[0][2][0].get_segments()
    np.testing.assert_allclose([bar[1][1] - bar[0][1] for bar in bars], 4 * fit.bins.error[fit.bins.used])
    line = next(line for line in axes.lines if line.get_label() == "fitted line").get_xydata()
    np.testing.assert_allclose(line[:, 1], line[:, 0] / fit.eta + fit.sigma**2)
    band = axes.collections[-1].get_paths()[0].vertices
    for x, y in line:
        at = band[np.isclose(band[:, 0], x), 1]
        assert at.min() <= y <= at.max()
    slopes = 1 / np.array(fit.eta_interval)
    last, first = (band[np.isclose(band[:, 0], x), 1] for x in (line[-1, 0], line[0, 0]))
    assert (last.max() - first.min()) / 255 == pytest.approx(slopes.max())
    assert (last.min() - first.max()) / 255 == pytest.approx(slopes.min())
    shown = {text.get_text() for text in axes.get_legend().get_texts()}
    assert shown == {"used", "left out: clipped", "fitted line", "range allowed by the interval of eta"}


def test_a_fit_without_numbers_shows_that(fit):
    figure = plot_fit(from_images([torch.full((1, 64, 64), 0.5)]), "1 image")
    assert figure.get_suptitle() == "no number can be given"
    assert figure.axes[0].get_legend() is None
    assert figures.to_pixels(figure).shape == (3, 800, 1200)
    refused = plot_fit(fit.refused("because"), "1 image").axes[0]
    assert [text.get_text() for text in refused.get_legend().get_texts()] == ["measured", "left out: clipped"]


def test_pixels_are_those_of_the_figure(fit):
    pixels = figures.to_pixels(plot_fit(fit, "1 image"))
    assert (pixels.dtype, pixels.shape) == (torch.uint8, (3, 800, 1200))
    assert pixels[:, :5].min() == 255  # a margin
    for color in (figures.LINE, figures.POINT, figures.BAND):
        wanted = torch.tensor([int(color[place : place + 2], 16) for place in (1, 3, 5)]).view(3, 1, 1)
        assert int((pixels == wanted).all(dim=0).sum()) > 500


def within_band(axes, number):
    """The share of the points of a grey value that are in its band."""
    model, found = axes.lines[number].get_data()
    band = axes.collections[number].get_paths()[0].vertices
    ends = [band[np.isclose(band[:, 0], x), 1] for x in model]
    return np.mean([end.min() <= y <= end.max() for end, y in zip(ends, found, strict=True)])


def test_a_noise_function_is_drawn_beside_its_model():
    recipe = degrade.recipe("x-bdcnn", eta=0.5, sigma=5.0, clip=False)
    figure = plot_noise(recipe, 0.5, 5.0, "x-bdcnn")
    variance, quantiles = figure.axes
    measured = variance.lines[0].get_xydata()
    assert len(measured) == 24
    np.testing.assert_allclose(measured[:, 1], measured[:, 0] / 0.5 + 25, rtol=0.1)
    np.testing.assert_allclose(variance.lines[1].get_ydata(), [25, 255 / 0.5 + 25])
    for points in quantiles.lines[:2]:
        model, found = points.get_data()
        inside = abs(model) < 2
        assert inside.sum() > 50
        np.testing.assert_allclose(found[inside], model[inside], atol=0.1)
        assert max(abs(found).max(), abs(model).max()) < quantiles.get_xlim()[1]
    assert [within_band(quantiles, number) for number in (0, 1)] == [pytest.approx(0.99, abs=0.05)] * 2
    wider = plot_noise(degrade.recipe("x-bdcnn", eta=0.5, sigma=5.5, clip=False), 0.5, 5.0, "x-bdcnn").axes[1]
    assert within_band(wider, 0) < 0.5
    wrong = plot_noise(recipe, 0.25, 5.0, "x-bdcnn").axes[0].lines[0].get_xydata()
    assert (wrong[:, 1] < 0.8 * (wrong[:, 0] / 0.25 + 25)).sum() > 20
    assert figures.to_pixels(figure).shape == (3, 640, 1400)


def test_quantiles_of_the_model_are_those_of_the_distribution():
    chances = torch.tensor([1e-4, 0.02, 0.5, 0.9, 0.9999], dtype=torch.float64)
    many = model_quantiles(1e5, 1.0, 5.0, chances)  # as good as normal
    np.testing.assert_allclose(many.numpy(), stats.norm.ppf(chances.numpy()), atol=0.02)
    few = model_quantiles(3.0, 1.0, 0.0, torch.tensor([0.1, 0.5, 0.9]))
    np.testing.assert_allclose(few * 3**0.5 + 3, stats.poisson.ppf([0.1, 0.5, 0.9], 3.0), atol=0.02)


@pytest.mark.slow
def test_no_global_state_and_no_matplotlib_without_a_plot():
    code = """
import sys, degrade.fit.noise, degrade.fit.plot, degrade.testing.plot, degrade.figures
assert "matplotlib" not in sys.modules
degrade.figures.to_pixels(degrade.figures.new_figure(200, 100))
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "degrade-enhance\[plots\]"'):
        figures.new_figure(100, 100)
