"""Export networks as programs that do not need this package: torch.export and ONNX."""

from __future__ import annotations

import io
import os

import torch
from torch import Tensor, nn

from degrade.files import write_bytes
from enhance.networks.base import EnhancementNetwork

TOLERANCE = 1e-3
"""Largest accepted difference between program and network, of images in [0, 1]."""


class ExportError(RuntimeError):
    """The exported program gives other images than the network."""


class _Program(nn.Module):
    """Module whose forward pass is `network.enhance` without a mask."""

    def __init__(self, network: EnhancementNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return self.network.enhance(image)


def export_program(network: EnhancementNetwork, path: str | os.PathLike[str], size: int | None = None) -> float:
    """Export to a `.pt2` file for `torch.export.load(path).module()`, after comparing it with the network.

    Args:
        network: in eval mode, on the CPU.
        path: file to write.
        size: side of the square images, fixed in the program; None takes the network's training size. Any batch size.

    Returns:
        largest difference from the network on a test image.

    Raises:
        ExportError: the difference is above 0.001; nothing is written.
        OSError: the file cannot be written.
    """
    example = _example(network, size)
    program = torch.export.export(
        _Program(network), (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},)
    )
    file = io.BytesIO()  # torch.export.save into a path ends the whole process where the disk is full
    torch.export.save(program, file)
    data = file.getvalue()
    loaded = torch.export.load(io.BytesIO(data)).module()
    difference = _compared(network, example, loaded(example))
    write_bytes(path, data)
    return difference


def export_onnx(network: EnhancementNetwork, path: str | os.PathLike[str], size: int | None = None) -> float:
    """Export to ONNX, with input "image" and output "enhanced", after comparing it with the network.

    Arguments, result and errors as of `export_program`; ModuleNotFoundError without onnx, onnxscript, onnxruntime.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "ONNX needs onnx, onnxscript and onnxruntime: pip install 'degrade-enhance[onnx]'"
        ) from None
    example = _example(network, size)
    program = torch.onnx.export(
        _Program(network),
        (example,),
        input_names=["image"],
        output_names=["enhanced"],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise ExportError("PyTorch made no ONNX program")
    data = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (enhanced,) = session.run(None, {"image": example.numpy()})
    difference = _compared(network, example, torch.from_numpy(enhanced))
    write_bytes(path, data)
    return difference


def _example(network: EnhancementNetwork, size: int | None) -> Tensor:
    side = network.training_size if size is None else size
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, network.channels, side, side, generator=generator, device="cpu")


def _compared(network: EnhancementNetwork, example: Tensor, enhanced: Tensor) -> float:
    with torch.no_grad():
        difference = float((network.enhance(example) - enhanced).abs().max())
    if not difference <= TOLERANCE:
        raise ExportError(f"the program differs from the network by {difference:.3g}; allowed is {TOLERANCE}")
    return difference
