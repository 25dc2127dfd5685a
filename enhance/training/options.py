"""Options of a run: the one place where they are declared.

Flags of `enhance train`, keys of run.toml, their help, defaults and allowed ranges all follow from the fields: a new
option is a new field here, and the code of the loop that reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from enhance.option_fields import documented, option, options_of
from enhance.training.processes import PRECISIONS, RunError

_GIB = 2**30
_JITTER: dict[str, Any] = {"least": 0, "most": 1, "default_text": "0, none"}


@documented
@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run is carried out. Only `epochs`, `precision`, `ema`, `prepare` and the jitters change what is learned.

    Raises:
        RunError: a value outside its allowed range.
    """

    epochs: int | None = option(
        None,
        "Length of the run in passes over the images to train on, instead of the configuration's.",
        unit="epochs",
        least=1,
    )
    devices: str = option(
        "auto",
        "GPUs, or processes on the CPU.",
        metavar="auto|N|cpu|cpu:N",
        default_text="auto, one GPU if there is one",
    )
    precision: str = option("32-true", "Precision of the arithmetic.", choices=PRECISIONS)
    workers: int = option(
        0, "Processes that decode images, for each process of the run; 0 decodes in it.", least=0, most=1024, command=2
    )
    cache_bytes: int = option(
        0,
        "Memory for decoded images in each process.",
        unit="GiB",
        metavar="GIB",
        key="cache",
        scale=_GIB,
        least=0,
        most=1_000_000,
    )
    validate_every: int = option(500, "Steps between validations; there is one at the end too.", unit="steps", least=1)
    validate_images: int = option(
        32, "Most images to validate on, of those kept out; the same ones each time.", unit="images", least=1
    )
    save_every: int = option(
        500, "Steps between checkpoints; there is one at the beginning and at the end too.", unit="steps", least=1
    )
    keep: int = option(2, "Checkpoints kept, the newest.", unit="checkpoints", least=1)
    log_every: int = option(50, "Steps between lines of the log.", unit="steps", least=1)
    ema: float = option(
        0.0,
        "Decay per step of a running average of the weights, which is what is validated and used; 0 keeps none.",
        unit="per step",
        metavar="DECAY",
        least=0,
        below=1,
        default_text="0, none",
    )
    prepare: str = option(
        "none",
        "Crop whole photographs to the square around their field of view before they are resized, also held-out ones.",
        choices=("none", "fov"),
    )
    brightness_jitter: float = option(
        0.0,
        "Augmentation: good images are made darker or brighter by a factor, up to so much below and above 1.",
        **_JITTER,
    )
    contrast_jitter: float = option(
        0.0, "Augmentation: factor of the good images' contrast, up to so much below and above 1.", **_JITTER
    )
    color_jitter: float = option(
        0.0, "Augmentation: factor of the good images' color saturation, up to so much below and above 1.", **_JITTER
    )
    logger: str = option(
        "none",
        "Another log beside log.jsonl: in RUN/tensorboard, in RUN/csv, or of a class of loggers of Lightning Fabric "
        "that is called with the folder of the run.",
        metavar="none|tensorboard|csv|module:class",
    )
    bar: bool = option(True, "Show a progress bar where the terminal can, else a line a minute.")

    def __post_init__(self) -> None:
        for one in options_of(type(self)):
            try:
                one.check(getattr(self, one.name))
            except ValueError as error:
                raise RunError(str(error)) from None

    def stream(self) -> dict[str, Any]:
        """Keyword arguments of the stream of a training that are not at their defaults: see `StreamOptions`."""
        jitters = {name: getattr(self, name) for name in ("brightness_jitter", "contrast_jitter", "color_jitter")}
        return {**self.placing(), **{name: value for name, value in jitters.items() if value}}

    def placing(self) -> dict[str, Any]:
        """Those of them that concern every stream of the run, that of the validation too."""
        return {} if self.prepare == "none" else {"prepare": self.prepare}
