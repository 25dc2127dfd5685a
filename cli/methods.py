"""Open the METHOD of a command: a run, a checkpoint, a network of the package, or a classical baseline."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from degrade.stream import SourceError, open_source
from degrade.text import TextError
from enhance.baselines import BASELINES, baseline
from enhance.checkpoints import WEIGHTS
from enhance.holdout import Ids, read_ids
from enhance.inference import Enhancer
from enhance.networks.base import EnhancementNetwork
from enhance.outsiders import Outsider, OutsiderError, is_outsider, open_outsider
from enhance.results import Results
from enhance.shipped import PREFIX, is_shipped, shipped_names
from enhance.training.rundir import HELD_OUT, TEST

from .options import Refusal
from .problems import reason

METHOD_HELP = """\b
METHOD is one of
  the folder of a run of 'enhance train' (its last weights)
  a checkpoint: a file .safetensors, such as RUN/best.safetensors
  a network that comes with the package: {}
  a classical baseline: {}
""".format(", ".join(f"{PREFIX}{name}" for name in shipped_names()), ", ".join(BASELINES))
"""Help text for commands with a METHOD."""


RESULTS_HELP = """  a folder of images of the same names: the results of another program
"""
"""Help text for commands that measure."""


def title(text: str, methods: tuple[str, ...]) -> str:
    """Name of a method's row: the last part of its path, or the whole path where two would be equal."""
    short = Path(text).name
    return short if sum(Path(other).name == short for other in dict.fromkeys(methods)) == 1 else text


def open_row(text: str, device: torch.device) -> Enhancer | Results:
    """Open a METHOD to measure: as `open_method`, or a folder with the results of another program."""
    if text in BASELINES or not os.path.isdir(text) or (Path(text) / WEIGHTS).exists():
        return open_method(text, device)
    try:
        return Results(open_source(text))
    except (SourceError, ModuleNotFoundError) as error:
        raise Refusal(
            "METHOD", f"{text!r} has no weights of 'enhance train', and as a folder of results: {error}"
        ) from None


def open_method(text: str, device: torch.device, argument: str = "METHOD") -> Enhancer:
    """Open the network or baseline of METHOD on a device."""
    if text in BASELINES:
        return baseline(text)
    if not is_shipped(text) and not os.path.exists(text):
        raise Refusal(argument, f"{text!r} is no file or folder, and no baseline ({', '.join(BASELINES)})")
    return open_network(text, device, argument)


def open_measured(text: str, device: torch.device, argument: str) -> Enhancer:
    """Open a METHOD, or any network as FILE.pt2 or module:function."""
    if text in BASELINES or os.path.isdir(text) or is_shipped(text) or not is_outsider(text):
        return open_method(text, device, argument)
    try:
        return Outsider(open_outsider(text, device), text)
    except OutsiderError as error:
        raise Refusal(argument, str(error)) from None


def open_network(text: str, device: torch.device, argument: str) -> EnhancementNetwork:
    """Load the network of a run, a checkpoint or the package, in eval mode on a device."""
    from enhance.checkpoints import CheckpointError, load_enhancer

    try:
        return load_enhancer(text).to(device)
    except CheckpointError as error:
        raise Refusal(argument, str(error)) from None
    except OSError as error:
        raise Refusal(argument, reason(error, text)) from None


def read_held_out(run: Path, argument: str, everything: bool = False) -> set[str]:
    """Ids of the images that a run keeps for tests, or if it keeps none that it validates on; `everything`: both."""
    file = run / HELD_OUT
    try:
        held = read_ids(file)
        if (run / TEST).exists():
            file = run / TEST
            tested = read_ids(file)
            if not everything:
                return {*tested.high, *tested.low}
            held = Ids([*held.high, *tested.high], [*held.low, *tested.low])
    except OSError as error:
        missing = f"{str(run)!r} is no run of 'enhance train': it has no {file.name} of one"
        raise Refusal(argument, missing if isinstance(error, FileNotFoundError) else reason(error)) from None
    except TextError as error:
        raise Refusal(argument, str(error)) from None
    return {*held.high, *held.low}
