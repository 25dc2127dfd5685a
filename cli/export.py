"""`enhance export`: export a checkpoint as a program for deployment."""

from __future__ import annotations

from pathlib import Path

import click
import torch

from enhance.export import ExportError, export_onnx, export_program

from .failures import say
from .methods import open_network
from .options import Refusal
from .problems import told
from .writable import check_writable


@click.command()
@click.argument("checkpoint")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--size",
    type=click.IntRange(32, 65_536),
    metavar="PIXELS",
    help="Side of the images, pixels.  [default: that of the paper]",
)
def export(checkpoint: str, out: Path, size: int | None) -> None:
    """Writes the network of CHECKPOINT (a run, or a .safetensors file) as OUT: .pt2 for PyTorch, or .onnx.

    What is written takes images (B, C, SIZE, SIZE) in [0, 1], any B, and gives them enhanced, in [0, 1]. It is loaded
    again and compared with the network before the command ends well.
    """
    writers = {".pt2": export_program, ".onnx": export_onnx}
    if out.suffix not in writers:
        raise Refusal("OUT", f"{str(out)!r}: its name ends in .pt2 or .onnx")
    network = open_network(checkpoint, torch.device("cpu"), "CHECKPOINT")
    check_writable(out)
    try:
        with told("The checkpoint is untouched: make room, or choose another place, and repeat the command", out):
            difference = writers[out.suffix](network, out, size)
    except (ExportError, ModuleNotFoundError) as error:
        raise click.ClickException(str(error)) from None
    say(f"{out}: differs from the network by at most {difference:.1e} on a test image")
