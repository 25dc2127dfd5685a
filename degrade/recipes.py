"""Named recipes: a model, its ranges and its citation. Recipes are data: TOML in, TOML out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from degrade import severity as severities
from degrade.base import Degradation
from degrade.models import Cataract, Cornea, Fundus, PoissonGaussian
from degrade.settings import closest
from degrade.text import TextError, parse_toml, read_text, shown


@dataclass(frozen=True)
class Preset:
    """A published setting of a model: what differs from the model's defaults, and who says so."""

    model: type[Degradation]
    summary: str
    citation: str
    settings: Mapping[str, Any] = field(default_factory=dict)


_COFE_NET = (
    "Shen, Fu, Shen, Shao: Modeling and Enhancing Low-Quality Retinal Fundus Images.\n"
    "IEEE Transactions on Medical Imaging 40(3), 2021, arXiv 2005.05594"
)
_X_BDCNN = "Yin, Qi, Cai, Li: X-Ray Image Enhancement Using Blind Denoising Neural Networks (X-BDCNN)"
_HALF = (0.5, 1.5)

RECIPES: Mapping[str, Preset] = {
    "cofe-net": Preset(
        Fundus,
        "Cofe-Net's fundus degradations as its authors released them",
        f"{_COFE_NET}; the released code.",
    ),
    "cofe-net-paper": Preset(
        Fundus,
        "the published ranges of color, number of spots and noise; all else as Cofe-Net's authors released it",
        f"{_COFE_NET}; the published text and parameter files.\n"
        "The standard deviation of the noise is not published: 0 to 0.02 is ours.",
        {"brightness": _HALF, "contrast": _HALF, "saturation": _HALF, "spot_count": (10, 30), "noise": (0.0, 0.02)},
    ),
    "pce-net": Preset(
        Fundus,
        "PCE-Net's use of Cofe-Net's degradations, as its code effectively does it; made for SeqLC, 4 views",
        "Liu et al.: Degradation-invariant Enhancement of Fundus Images via\n"
        "Pyramid Constraint Network. MICCAI 2022; the released code.",
        {"brightness": (0.5, 1.4), "contrast": _HALF, "saturation": _HALF},
    ),
    "cataract": Preset(
        Cataract,
        "a clouded lens: blur and a bright veil",
        "Li et al.: An Annotation-free Restoration Network for Cataractous\n"
        "Fundus Images. IEEE Transactions on Medical Imaging, 2022; the released code.",
    ),
    "x-bdcnn": Preset(
        PoissonGaussian,
        "Poisson-Gaussian noise of X-ray detectors",
        f"{_X_BDCNN};\nwhere eta enters follows from its Table II.",
    ),
    "x-bdcnn-released": Preset(
        PoissonGaussian,
        "the same as the group's code draws it: eta 0.4, 0.5, ..., 1.8, sigma 0, 1, ..., 19",
        f"{_X_BDCNN};\nthe code that the group released (Wei-2021/X-BDCNN).",
        {"eta": (0.4, 1.8), "eta_step": 0.1, "sigma": (0.0, 19.0), "sigma_step": 1.0},
    ),
    "cornea": Preset(
        Cornea,
        "corneal confocal microscopy: uneven illumination, blur, few photons",
        "The degradations that Xu et al. name for SSP-Net; the model and its numbers are ours.",
    ),
}


def recipe(
    name_or_toml: Degradation | str | os.PathLike[str],
    *,
    severity: int | None = None,
    stage: str | None = None,
    **overrides: Any,
) -> Degradation:
    """The degradation of a named recipe, or of a recipe in TOML.

    Args:
        name_or_toml: a name from `RECIPES`; a path ending in .toml; the text of a TOML recipe; or a degradation, which
            is returned as it is.
        severity: 1 (little) to 5 (much): ranges moved so that the mean PSNR falls by 2 dB from level to level; 3 is the
            recipe as it is. See `degrade.severity`.
        stage: a stage that acts alone at that severity, such as "light" or "noise"; all as the recipe has them if not
            given.
        overrides: settings that differ: a number is fixed, a pair is drawn uniformly per sample.

    Raises:
        ValueError: for unknown names (with the closest one) and values that are not allowed.
        TypeError: for anything else, and settings for a degradation that is made already.

    >>> recipe("cofe-net", type="111", brightness=0.8, spot_count=(0, 3)).settings["spot_count"]
    (0.0, 3.0)
    >>> recipe("x-bdcnn", severity=5, sigma=10).settings["sigma"]
    10.0
    >>> recipe("cofenet")
    Traceback (most recent call last):
    ValueError: unknown recipe 'cofenet'; did you mean cofe-net?
    """
    if isinstance(name_or_toml, Degradation):
        given = [*overrides, *(["severity"] if severity is not None else [])]
        if given:
            raise TypeError(f"settings ({', '.join(given)}) go with a recipe's name, not with a {name_or_toml}")
        return name_or_toml
    if not isinstance(name_or_toml, (str, os.PathLike)):
        kind = type(name_or_toml).__name__
        raise TypeError(f"a recipe is a name ({', '.join(RECIPES)}), TOML, its path or a degradation; got {kind}")
    text = os.fspath(name_or_toml)
    settings: dict[str, Any] = {}
    if isinstance(name_or_toml, os.PathLike) or text.endswith(".toml"):
        try:
            text = read_text(text)
        except TextError as error:
            raise ValueError(f"{text!r}: {error}") from None
    if "\n" in text or "=" in text:
        settings = _read_settings(text)
        if "recipe" not in settings:
            raise ValueError('a recipe\'s TOML must name the recipe it starts from, such as recipe = "cofe-net"')
        text = settings.pop("recipe")
    if not isinstance(text, str) or text not in RECIPES:
        raise ValueError(f"unknown recipe {shown(text)}{closest(str(text)[:100], RECIPES)}")
    preset = RECIPES[text]
    if stage is not None and severity is None:
        raise ValueError(f"stage = {stage!r} goes with severity, a whole number from 1 to 5")
    chosen = {**preset.settings, **settings}
    table = preset.model.settings_table
    if severity is not None:
        stock = {name: one.read(name, chosen.get(name, one.default)) for name, one in table.items()}
        chosen |= severities.at_level(text, preset.model, table, stock, severity, stage)
    chosen |= overrides
    if unknown := next((name for name in chosen if name not in table), None):
        raise ValueError(f"unknown setting {unknown!r}{closest(unknown, table)}")
    make: Callable[..., Degradation] = preset.model
    return make(text, preset.citation, **chosen)


def _read_settings(text: str) -> dict[str, Any]:
    """The settings in a recipe's TOML, without its tables, in which commands write what else they note."""
    return {name: value for name, value in parse_toml(text).items() if not isinstance(value, dict)}
