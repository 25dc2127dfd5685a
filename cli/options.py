"""What several commands take: a recipe with changes, a device, a file to write. Mistakes become one line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

import click
import torch
from torch import Tensor

import degrade
from degrade import figures
from degrade.images import image_io
from degrade.settings import Choice, Setting, closest

from . import problems

Command = TypeVar("Command", bound=Callable[..., Any])


class Refusal(click.BadParameter):
    """A value that cannot be used: exit code 2 and one line that names the argument, without the usage around it."""

    def __init__(self, argument: str, message: str) -> None:
        super().__init__(message, param_hint=f"'{argument}'")

    def show(self, file: IO[Any] | None = None) -> None:
        """Prints the line."""
        click.echo(f"Error: {self.format_message()}", file=file, err=file is None)


def severity_option(command: Command) -> Command:
    """Adds --severity, for `read_recipe`."""
    return click.option(
        "--severity",
        metavar="LEVEL|LEVEL:STAGE",
        help="How strong, from 1 (little) to 5 (much); 3 is the recipe as it is, and each level has 2 dB less than the "
        "one before. With a STAGE, such as 4:blur, that stage alone.",
    )(command)


def recipe_options(command: Command) -> Command:
    """Adds --recipe, --type, --severity and --set, for `read_recipe`."""
    for option in (
        click.option(
            "--set",
            "changes",
            metavar="NAME=VALUE",
            multiple=True,
            help="Change a setting of the recipe; may be repeated. VALUE is a number (fixed), LOW,HIGH (drawn for "
            "each picture), true, false or a word. 'degrade recipes NAME' lists the settings with their units.",
        ),
        click.option(
            "--type",
            "type_",
            metavar="111|random",
            help="Which degradations act, for recipes that have a choice: a digit each for blur, spots and "
            "illumination, or random: one of the seven combinations per picture.  [default: as the recipe says]",
        ),
        severity_option,
        click.option(
            "--recipe",
            default="cofe-net",
            show_default=True,
            metavar="NAME|FILE.toml",
            help="What is done to the pictures: a name from 'degrade recipes', or a recipe file.",
        ),
    ):
        command = option(command)
    return command


def window_option(command: Command) -> Command:
    """Adds --window, for `read_window`."""
    return click.option(
        "--window",
        metavar="file|CENTER,WIDTH",
        help="For DICOM: the grey values shown from black to white, the file's own window or one in rescaled units."
        "  [default: all that its bits can hold]",
    )(command)


def read_window(window: str | None) -> image_io.Window | None:
    """The value of --window."""
    if window is None or window == "file":
        return "file" if window else None
    try:
        center, width = (float(number) for number in window.split(","))
    except ValueError:
        raise Refusal("--window", f"{window!r}: allowed is file, or two numbers such as 40,400") from None
    if not width >= 1:
        raise Refusal("--window", f"{window!r}: the width is at least 1")
    return center, width


def read_recipe(
    recipe: str, type_: str | None = None, changes: Iterable[str] = (), severity: str | None = None
) -> degrade.Degradation:
    """The recipe with the values of --type, --severity and --set."""
    try:
        table = degrade.recipe(recipe).settings_table
    except OSError as error:
        raise Refusal("--recipe", f"cannot read {recipe!r}: {error.strerror}") from None
    except (TypeError, ValueError) as error:
        raise Refusal("--recipe", str(error)) from None
    overrides = dict(_change(change, table) for change in changes)
    if type_ is not None:
        if "type" not in table:
            raise Refusal("--type", f"recipe {recipe!r} has no types to choose from")
        if "type" in overrides:
            raise click.UsageError("--type and --set type=... say the same thing: give one of them")
        overrides["type"] = type_
    graded = {} if severity is None else _severity(recipe, severity)
    try:
        return degrade.recipe(recipe, **graded, **overrides)
    except ValueError as error:
        argument = "--type" if type_ is not None and str(error).startswith("type ") else "--set"
        raise Refusal(argument, str(error)) from None


def _severity(recipe: str, text: str) -> dict[str, Any]:
    """The arguments of `degrade.recipe` that --severity stands for."""
    level, _, stage = (part.strip() for part in text.partition(":"))
    graded: dict[str, Any] = {"severity": int(level) if level.isdecimal() else level, "stage": stage or None}
    try:
        degrade.recipe(recipe, **graded)
    except ValueError as error:
        raise Refusal("--severity", str(error)) from None
    return graded


def _change(change: str, table: Mapping[str, Setting]) -> tuple[str, Any]:
    name, equals, text = (part.strip() for part in change.partition("="))
    if not equals:
        raise Refusal("--set", f"{change!r} is not NAME=VALUE, such as brightness=0.8")
    if name not in table:
        raise Refusal("--set", f"unknown setting {name!r}{closest(name, table)}")
    setting = table[name]
    if isinstance(setting, Choice) and isinstance(setting.default, str):
        return name, text  # a code such as 011 is a word
    if text.lower() in ("true", "false"):
        return name, text.lower() == "true"
    try:
        numbers = tuple(float(number) for number in text.split(","))
    except ValueError:
        return name, text
    return name, numbers[0] if len(numbers) == 1 else numbers


def read_device(name: str, local_rank: int = 0) -> torch.device:
    """The device of --device; `auto` is this process's GPU if there is one."""
    gpus = torch.cuda.device_count()
    if name == "auto":
        return torch.device("cuda", local_rank % gpus) if gpus else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise Refusal("--device", f"{name!r}: allowed is auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= gpus:
        raise Refusal("--device", f"{name!r}: this machine has {gpus} CUDA devices")
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", local_rank % gpus)
    return device


def check_out(out: Path) -> None:
    """Refuses a file that `save` could not write, before any work is done."""
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"):
        raise Refusal("OUT", f"{str(out)!r}: allowed is png, jpg, webp or tiff")


def check_files(out: Path | None, picture: Path | None, argument: str) -> None:
    """Refuse files of a fit that cannot be written: --out is TOML, `argument` a picture that Matplotlib draws."""
    if out is not None and out.suffix.lower() != ".toml":
        raise Refusal("--out", f"{str(out)!r}: allowed is .toml")
    if picture is None:
        return
    try:
        check_out(picture)
        figures.new_figure(1, 1)
    except Refusal as error:
        raise Refusal(argument, error.message) from None
    except ModuleNotFoundError as error:
        raise click.ClickException(str(error)) from None


def save(out: Path, image: Tensor) -> None:
    """Writes an integer image (C, H, W), in 8 bits where the format of OUT has no 16."""
    if image.dtype == torch.uint16 and out.suffix.lower() in (".jpg", ".jpeg", ".webp"):
        image = image_io.to_integer(image_io.to_float(image))
    try:
        image_io.write(out, image)
    except OSError as error:
        raise click.ClickException(f"cannot write {problems.reason(error, out)}") from None
    except (ValueError, ModuleNotFoundError) as error:
        raise click.ClickException(f"cannot write {str(out)!r}: {error}") from None
