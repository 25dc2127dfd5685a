"""Graded severity: five levels of a recipe, or of one of its stages, in equal steps of mean PSNR.

A level is a strength s that moves every range away from what changes nothing: a value v with the neutral value n
becomes n + s (v - n), a photon count v / s^2. Strength 1, the recipe as it is published, is level 3. The strengths of
the other levels are in `degrade.severity_table`, measured once on phantoms by `python -m benchmarks.severity`: from
level to level the mean PSNR falls by `STEP`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from degrade.models import Cataract, Cornea, Fundus, PoissonGaussian
from degrade.settings import Range, Setting, Value, closest, ends
from degrade.severity_table import STRENGTHS

LEVELS = (1, 2, 3, 4, 5)
STEP = 2.0
"""Decibels of mean PSNR between levels."""

_PHOTONS = 1000.0
"""Photons per grey level, so many that their noise is not seen."""

ALL = "all"
"""The name of all stages together, as the recipe has them."""


@dataclass(frozen=True)
class Stage:
    """The settings that a stage's strength moves.

    Attributes:
        neutral: by setting, the value that changes nothing.
        photons: settings that are photon counts: without limit they change nothing.
        type: of fundus degradations, the one that has this stage alone.
        graded: whether it has levels. Whole numbers of taps have no five equal steps: they stay as they are.
    """

    neutral: Mapping[str, float]
    photons: tuple[str, ...] = ()
    type: str | None = None
    graded: bool = True


_LIGHT = {
    **dict.fromkeys(("brightness", "contrast", "saturation"), 1.0),
    **dict.fromkeys(("halo_strength", "hole_depth", "hole_slope"), 0.0),
}
_STAGES: Mapping[type, Mapping[str, Stage]] = {
    Fundus: {
        "light": Stage(_LIGHT, type="001"),
        "spots": Stage({"spot_radius": 0.0}, type="010"),
        "blur": Stage({"blur_sigma": 0.0, "noise": 0.0}, type="100"),
    },
    Cataract: {
        "blur": Stage({"blur_taps": 0.0}, graded=False),
        "veil": Stage({"veil": 0.0, "transmission": 1.0}),
        "color": Stage({"contrast": 1.0, "brightness": 1.0, "saturation": 1.0}),
    },
    Cornea: {
        "illumination": Stage({"gain_low": 1.0, "gain_high": 1.0, "haze": 0.0}),
        "blur": Stage({"blur_sigma": 0.0}),
        "noise": Stage({"sigma": 0.0}, ("eta",)),
    },
    PoissonGaussian: {"noise": Stage({"sigma": 0.0}, ("eta",))},
}


def stages(model: type) -> tuple[str, ...]:
    """What has levels of its own: "all", then the stages of a model; X-ray noise has one alone.

    >>> stages(Fundus)
    ('all', 'light', 'spots', 'blur')
    """
    found = tuple(name for name, stage in _STAGES.get(model, {}).items() if stage.graded)
    return found if len(found) == 1 else (ALL, *found)


def at_level(
    name: str, model: type, table: Mapping[str, Setting], settings: Mapping[str, Value], level: int, stage: str | None
) -> dict[str, Value]:
    """The settings of a recipe at a level.

    Args:
        name: of the recipe, whose strengths are taken.
        model: its model.
        table: the model's settings.
        settings: the recipe's, complete.
        level: 1 (little) to 5 (much); 3 is the recipe as it is.
        stage: one of `stages`; None for all of them together.

    Raises:
        ValueError: a level or stage that there is not.
    """
    known = stages(model)
    stage = known[0] if stage is None else stage
    if stage not in known:
        raise ValueError(f"stage = {stage!r}: recipe {name!r} has {', '.join(known)}{closest(stage, known)}")
    if isinstance(level, bool) or level not in LEVELS:
        raise ValueError(f"severity = {level!r}: allowed is a whole number from 1 to 5")
    return at_strength(model, table, settings, STRENGTHS[name][stage][level - 1], stage)


def at_strength(
    model: type, table: Mapping[str, Setting], settings: Mapping[str, Value], strength: float, stage: str
) -> dict[str, Value]:
    """The settings at a strength from 0, where the stage does nothing; of one stage alone, if it is named."""
    changed: dict[str, Value] = {}
    for name, one in _STAGES[model].items():
        alone = stage not in (ALL, name)
        if one.type is not None and alone:
            continue  # the type leaves the others out
        if not one.graded and not alone:
            continue
        changed |= _moved(one, table, settings, 0.0 if alone else strength)
        if one.type is not None and stage == name:
            changed["type"] = one.type
    return changed


def _moved(
    stage: Stage, table: Mapping[str, Setting], settings: Mapping[str, Value], strength: float
) -> dict[str, Value]:
    moved: dict[str, Value] = {}
    for name in (*stage.neutral, *stage.photons):
        setting = table[name]
        assert isinstance(setting, Range)
        low, high = setting.limits
        if name in stage.photons:
            high = min(high, _PHOTONS)
            values = [end / strength**2 if strength else high for end in ends(settings[name])]
        else:
            neutral = stage.neutral[name]
            values = [neutral + strength * (end - neutral) for end in ends(settings[name])]
        first, last = sorted(min(max(value, low), high) for value in values)
        moved[name] = setting.read(name, (first, last))
    return moved
