"""`degrade fit`: estimate a recipe's parameters from real images."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import click
import torch
from torch import Tensor

from degrade import figures
from degrade.fit.noise import NoiseFit, from_frames, from_images, to_recipe
from degrade.fit.plot import plot_fit
from degrade.images import image_io
from degrade.pairs.making import FAILURES, reason

from . import problems
from .fit_pair import pair
from .fit_recipe import cornea, fundus
from .options import Refusal, check_files, save
from .sources import SOURCE_HELP, Item, open_source


@click.group()
def fit() -> None:
    """Measures real images, and writes a recipe that degrades good images in the same way."""


@fit.command(
    epilog=f"""{SOURCE_HELP}
\b
Examples:
  degrade fit noise xrays/ --out detector.toml --plot detector.png
  degrade fit noise flat1.png flat2.png --frames --out detector.toml
  degrade synth clean/ pairs --recipe detector.toml

Exit code 1 and the reasons where no number can be given.
""",
)
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option(
    "--frames",
    is_flag=True,
    help="All images are frames of one scene at one exposure, two or more: more exact, and free of assumptions.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.toml", help="The recipe.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.png",
    help="A picture of the variance against the mean, and of the line.",
)
@click.option(
    "--levels",
    type=click.FloatRange(0, min_open=True),
    default=255.0,
    show_default=True,
    metavar="N",
    help="Grey value of full white that eta and sigma refer to.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Images at most.  [default: all]")
def noise(
    sources: tuple[str, ...], frames: bool, out: Path | None, plot: Path | None, levels: float, limit: int | None
) -> None:
    """Measures eta and sigma of a detector's noise, Var f = g / eta + sigma^2, from its images.

    Without --frames each image may show anything, and the noise is measured in smooth patches.
    """
    check_files(out, plot, "--plot")
    items = list(islice((item for source in sources for item in open_source(source).items), limit))
    if frames and len(items) < 2:
        raise Refusal("--frames", "two or more frames of one scene are needed, got 1")
    found = _frames(items, levels) if frames else _images(items, levels)
    if plot is not None:
        what = f"{len(items)} {'frame' if frames else 'image'}{'s' if len(items) > 1 else ''}"
        save(plot, figures.to_pixels(plot_fit(found, what)))
    _report(found)
    if plot is not None:
        click.echo(f"plot: {plot}")
    if not found.reliable:
        raise SystemExit(1)
    if out is not None:
        try:
            image_io.write_bytes(out, to_recipe(found).encode())
        except OSError as error:
            raise click.ClickException(f"cannot write {problems.reason(error, out)}") from None
    click.echo(f"go on with: degrade synth SOURCE DEST --recipe {out or 'FILE.toml (from --out)'}")


def _images(items: list[Item], levels: float) -> NoiseFit:
    def readable() -> Iterator[Tensor]:
        count = 0
        for item in items:
            try:
                image = item.load()
            except FAILURES as error:
                click.echo(f"{item.source}: {reason(error)}", err=True)
                continue
            if _has_color(image):
                click.echo(f"{item.source}: it is no grey image", err=True)
                continue
            count += 1
            yield image[:1]
        if not count:
            raise click.ClickException("no grey image could be read")

    return from_images(readable(), levels)


def _frames(items: list[Item], levels: float) -> NoiseFit:
    frames: list[Tensor] = []
    for item in items:
        try:
            frame = item.load()
        except FAILURES as error:
            raise click.ClickException(f"{item.source}: {reason(error)}") from None
        if _has_color(frame):
            raise click.ClickException(f"{item.source}: it is no grey image")
        if frames and (frame.shape[1:] != frames[0].shape[1:] or frame.dtype != frames[0].dtype):
            raise click.ClickException(
                f"{item.source}: frames of one scene have one size and depth; this one is {_kind(frame)}, "
                f"the first {_kind(frames[0])}"
            )
        frames.append(frame[:1])
    if min(frames[0].shape[1:]) < 3:
        raise click.ClickException(f"{items[0].source}: {_kind(frames[0])} is too small")
    return from_frames(torch.stack(frames), levels)


def _has_color(image: Tensor) -> bool:
    return image.shape[0] != 1 and any(not torch.equal(image[0], channel) for channel in image[1:])


def _kind(frame: Tensor) -> str:
    return f"{frame.shape[2]} x {frame.shape[1]} pixels of {8 * frame.dtype.itemsize} bits"


def _report(found: NoiseFit) -> None:
    for warning in found.warnings:
        click.echo(f"{'warning' if found.reliable else 'no number'}: {warning}", err=True)
    if not found.reliable:
        return
    scale = f"grey levels of {found.levels:g}"
    low, high = found.eta_interval
    click.echo(f"eta    {found.eta:.4g}  (95 %: {low:.4g} to {high:.4g})  photons per grey level of {found.levels:g}")
    full = [f"{photons * found.levels:.4g}" for photons in (found.eta, low, high)]
    click.echo(f"       {full[0]}  (95 %: {full[1]} to {full[2]})  photons at full white")
    low, high = found.sigma_interval
    click.echo(f"sigma  {found.sigma:.4g}  (95 %: {low:.4g} to {high:.4g})  electronic noise, {scale}")
    used = found.bins.used
    kind = "pixels" if found.method == "frames" else "smooth patches"
    click.echo(f"from {int(found.bins.count[used].sum())} {kind} in {int(used.sum())} bins of grey values")


for command in (fundus, cornea, pair):
    fit.add_command(command)
