"""Networks as programs that need none of this package: torch.export, and ONNX."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor, nn

from degrade import image_io
from enhance.networks.base import EnhancementNetwork

TOLERANCE = 1e-3
"""The largest difference from the network that is accepted, in [0, 1]."""


class ExportError(RuntimeError):
    """A program that does not do what the network does."""


class _Program(nn.Module):
    """`enhance` without a mask as a forward pass."""

    def __init__(self, network: EnhancementNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return self.network.enhance(image)


def export_program(network: EnhancementNetwork, path: str | os.PathLike[str], size: int | None = None) -> float:
    """Writes a `.pt2` that `torch.export.load(path).module()` makes callable, and compares it with the network.

    Args:
        network: in eval mode, on the CPU.
        path: the file.
        size: side of the square images it will take; the batch is free. None: the network's training size.

    Returns:
        the largest difference from the network on a test image.

    Raises:
        ExportError: it is over a thousandth.
    """
    example = _example(network, size)
    program = torch.export.export(
        _Program(network), (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},)
    )
    temporary = Path(path).with_name(f".{Path(path).name}.pt2")
    try:
        torch.export.save(program, temporary)
        image_io.write_bytes(path, temporary.read_bytes())
    finally:
        temporary.unlink(missing_ok=True)
    loaded = torch.export.load(Path(path)).module()
    return _compared(network, example, loaded(example))


def export_onnx(network: EnhancementNetwork, path: str | os.PathLike[str], size: int | None = None) -> float:
    """Writes an ONNX model with input "image" and output "enhanced", and runs it against the network.

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
    image_io.write_bytes(path, program.model_proto.SerializeToString())
    session = onnxruntime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    (enhanced,) = session.run(None, {"image": example.numpy()})
    return _compared(network, example, torch.from_numpy(enhanced))


def _example(network: EnhancementNetwork, size: int | None) -> Tensor:
    side = network.training_size if size is None else size
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, network.channels, side, side, generator=generator)


def _compared(network: EnhancementNetwork, example: Tensor, enhanced: Tensor) -> float:
    with torch.no_grad():
        difference = float((network.enhance(example) - enhanced).abs().max())
    if not difference <= TOLERANCE:
        raise ExportError(f"the program differs from the network by {difference:.3g}; allowed is {TOLERANCE}")
    return difference
