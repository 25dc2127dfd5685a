"""run.toml: all options of a run of `enhance train`, written for people and for --config.

Its keys are those of `enhance.training.Options` and of `Data`, and a table [config] with the fields of the trainer's
configuration. Nothing is listed here a second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from degrade import toml
from degrade.settings import closest
from degrade.text import TextError, convert, line_of, parse_toml, read_text, shown
from enhance.holdout import GROUP
from enhance.option_fields import Option, documented, option, options_of
from enhance.trainers import TRAINERS
from enhance.trainers.former import upgraded
from enhance.trainers.presets import NAMES as NAMES_OF_PRESETS
from enhance.trainers.presets import preset
from enhance.training import Options

from .mapping import HELP
from .options import Refusal

Told = dict[str, Any]

_LONGEST_TEXT = 4000
_LARGEST_COUNT = 10**12


@documented
@dataclass(frozen=True, kw_only=True)
class Data:
    """Images to train on, and to hold out."""

    network: str | None = option(None, "Name of the trainer.", argument=True)
    source: str | None = option(None, "Good images.", argument=True)
    preset: str | None = option(
        None,
        "Settings that belong together, which other options change: paper, as published; released, as the authors' "
        "code; small, for a hundred images and a CPU.",
        choices=NAMES_OF_PRESETS,
        default_text="paper",
    )
    unpaired: str | None = option(None, "Real bad images, for trainers that take some: as SOURCE.", metavar="LOW")
    low_recipe: str | None = option(
        None,
        "Make the bad images on the fly by this recipe: of the good images of --unpaired, or else of one half of "
        "SOURCE, whose patients are on no other side.",
        metavar="NAME|FILE.toml",
    )
    init: str | None = option(
        None,
        "Begin from the weights of another run of NETWORK, for instance to train on real pairs after synthetic ones.",
        metavar="RUN|FILE",
    )
    rsp: str | None = option(
        None,
        "magenet: begin the network for structure from a file of 'enhance segmenter --network agnet', or from a run; "
        "it is not trained first then, unless --set rsp_share=... says so.",
        metavar="FILE|RUN",
    )
    layout: str | None = option(None, HELP["layout"], metavar="NAME")
    masks: str | None = option(None, HELP["masks"], metavar="DIR|PATTERN")
    vessels: str | None = option(None, HELP["vessels"], metavar="DIR|PATTERN")
    discs: str | None = option(None, HELP["discs"], metavar="DIR|PATTERN")
    labels: str | None = option(None, HELP["labels"], metavar="FILE.csv")
    keep_labels: str | None = option(None, HELP["keep"], metavar="LABEL,...")
    hold_out: float = option(
        0.2,
        "Share of the images to keep out and validate on, by patient or sequence; 0 for none.",
        metavar="SHARE",
        least=0,
        below=1,
    )
    split: str | None = option(
        None,
        "Shares to train on, validate on and test with, instead of --hold-out; drawn by the seed, by patient.",
        metavar="TRAIN:VALIDATE:TEST",
    )
    train: str | None = option(
        None, "Ids to train on, a text file with one a line.", metavar="FILE", default_text="all others"
    )
    validate: str | None = option(None, "Ids to validate on, likewise, instead of --hold-out.", metavar="FILE")
    test: str | None = option(
        None,
        "Ids to test with, likewise: neither trained nor validated on, and what --held-out measures.",
        metavar="FILE",
    )
    group: str = option(
        GROUP,
        "What names the patient in an id: its parentheses catch it, an id without a match is one by itself.",
        metavar="REGEX",
        default_text="PatientID of DICOM files, and names as of ChestX-ray8, EyePACS, CSDI, NerveStitcher and CCMID",
    )


OPTIONS: dict[str, Option] = {one.key: one for kind in (Data, Options) for one in options_of(kind)}
"""All options beside the trainer's configuration, by key, in the order of the file."""

NAMES = tuple(OPTIONS)

LENGTHS = ("steps", "epochs")
"""Fields of the configuration that say how long a run is; so does the option "epochs"."""

DEFAULTS: Told = {
    **{one.key: one.default for one in options_of(Data) if one.default is not None},
    **{one.key: one.about.command for one in options_of(Options) if one.about.command is not None},
}
"""Defaults of the command that are written to run.toml."""


def _type(one: Option) -> Any:
    """Type and bounds of an option for msgspec."""
    about = one.about
    if one.kind is str:
        return Annotated[str, Meta(max_length=_LONGEST_TEXT)]
    if one.kind is bool:
        return bool
    most = _LARGEST_COUNT if about.most is None and about.below is None and one.kind is int else about.most
    bounds: dict[str, Any] = {"ge": about.least, "le": most, "lt": about.below}
    return Annotated[one.kind, Meta(**{name: bound for name, bound in bounds.items() if bound is not None})]


_Schema = msgspec.defstruct(
    "Options", [(key, _type(one) | UnsetType, UNSET) for key, one in OPTIONS.items()], forbid_unknown_fields=True
)


@dataclass(frozen=True)
class RunFile:
    """Options of a run: `told` by the keys of `OPTIONS`, `config` by the fields of the trainer's configuration."""

    told: Told = field(default_factory=dict)
    config: Told = field(default_factory=dict)

    def merged(self, over: RunFile) -> RunFile:
        """These options, replaced by those of `over`. Of lengths of the run only those given last are kept."""
        told, config = dict(self.told), dict(self.config)
        if "epochs" in over.told or "epochs" in over.config or "steps" in over.config:
            told.pop("epochs", None)
            config = {name: value for name, value in config.items() if name not in LENGTHS}
        return RunFile(told | over.told, config | over.config)

    def with_preset(self, network: str | None) -> RunFile:
        """These options over those of their preset, if they name one and the network has it; ValueError if not."""
        name = self.told.get("preset")
        if name is None or network is None or network not in TRAINERS:
            return self
        chosen = preset(network, name, TRAINERS[network].config_class)
        return RunFile(dict(chosen.options), dict(chosen.config)).merged(self)

    def to_toml(self) -> str:
        """TOML text for `read`."""
        told = {name: self.told[name] for name in NAMES if name in self.told}
        return toml.write({**told, "config": self.config})


def check(told: Mapping[str, Any]) -> None:
    """Refuse values of the command line that are out of range or cannot be written to run.toml."""
    for name, value in told.items():
        argument = OPTIONS[name].flag
        try:
            convert({name: value}, _Schema)
            str(value).encode()
        except TextError as error:
            raise Refusal(argument, f"{shown(value)}: {str(error).partition(': ')[2]}") from None
        except UnicodeEncodeError:
            raise Refusal(argument, f"{value!r} is not UTF-8 text: run.toml could not name it") from None


def read(path: Path, argument: str) -> RunFile:
    """Read a run.toml; an error in it is reported as one of `argument`, with the line or the field."""
    try:
        text = read_text(path)
        values = parse_toml(text)
        config = values.pop("config", {})
        if isinstance(values.get("tensorboard"), bool):  # as versions before 0.3 had it
            values |= {"logger": "tensorboard"} if values.pop("tensorboard") else {}
        for name in values:
            if name not in NAMES:
                raise TextError(f"{line_of(text, f'$.{name}')}unknown name {name!r}{closest(name, [*NAMES, 'config'])}")
        if not isinstance(config, dict):
            raise TextError(f"{line_of(text, '$.config')}config is a table: [config]")
        try:
            convert(values, _Schema)
        except TextError as error:
            raise TextError(f"{line_of(text, str(error))}{error}") from None
    except OSError as error:
        raise Refusal(argument, f"cannot read {str(path)!r}: {error.strerror}") from None
    except TextError as error:
        raise Refusal(argument, f"{str(path)!r}: {error}") from None
    return RunFile(values, upgraded(values.get("network", ""), config))
