"""Noise calibration: eta and sigma of f = Poisson(eta g) / eta + N(0, sigma^2) from real images.

`from_frames` needs two or more frames of one scene; `from_images` takes any images with smooth areas. Both return a
`NoiseFit`, and `to_recipe` makes a recipe of it that adds the same noise to clean images.
"""

from __future__ import annotations

from degrade import toml
from degrade.fit.blind import from_images
from degrade.fit.line import Bins, NoiseFit
from degrade.fit.photon_transfer import from_frames

__all__ = ["Bins", "NoiseFit", "from_frames", "from_images", "to_recipe"]


def to_recipe(fit: NoiseFit, interval: bool = False) -> str:
    """Recipe `x-bdcnn` with the noise of a fit, as TOML.

    Args:
        fit: reliable.
        interval: sample eta and sigma from their 95 % intervals for each image, instead of fixed values.

    Raises:
        ValueError: the fit gives no numbers.
    """
    if not fit.reliable:
        raise ValueError(f"the fit gives no numbers: {'; '.join(fit.warnings)}")
    values = (
        ("eta", fit.eta, fit.eta_interval, "photons per grey level"),
        ("sigma", fit.sigma, fit.sigma_interval, "grey levels"),
    )
    source = {"frames": "frames of one scene", "images": "single images"}[fit.method]
    entries: list[toml.Entry] = [("recipe", "x-bdcnn", "")]
    for name, value, ends, unit in values:
        best, low, high = (_four_digits(number) for number in (value, *ends))
        comment = f"[{unit}] {best}; 95 % interval {low} to {high}"
        entries.append((name, (low, high) if interval else best, comment))
    entries.append(("levels", float(fit.levels), "[grey levels] grey level of full white"))
    return toml.commented(entries, f"noise measured from {source}")


def _four_digits(value: float) -> float:
    return float(f"{value:.4g}")
