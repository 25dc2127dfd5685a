"""The whole chain of Cofe-Net on a GPU: absolute figures, the floor of one copy there, and CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

import degrade
from benchmarks import peers
from benchmarks.peers import Absent, Call, Make
from benchmarks.samples import fundus
from benchmarks.timing import Row, measure
from degrade.call import Call as ModelCall
from degrade.models.fundus import sampling
from degrade.packing import pack

COPY = "copy of the batch"
FEW = 8  # images for gradients, whose graph keeps some twenty batches


def chain(sizes: Sequence[int] = (256, 512, 1024), batch: int = 64, rounds: int = 9, device: str = "cuda") -> list[Row]:
    """Type 111 of recipe cofe-net, float32, microseconds an image, by the GPU's own clock."""
    return [row for size in sizes for row in _chain(size, batch, rounds, device)]


def _chain(size: int, batch: int, rounds: int, device: str) -> list[Row]:
    image, mask, keys = fundus(batch, size, device)
    d = degrade.recipe("cofe-net", type="111")
    p = d.draw(keys.cpu(), size, size)
    few = min(FEW, batch)
    leaf = image[:few].clone().requires_grad_()
    target = torch.empty_like(image)

    def backward() -> None:
        d(leaf, keys[:few], mask[:few]).sum().backward()

    def kernels() -> Call:
        fused = _fused(device)
        packed = pack(d.parameter_table, p, d.parameter_table.count(p)).to(image.device)
        most = sampling.largest(d.settings, size, size)
        call = ModelCall(image, p, packed, mask, lambda: most, d.settings)
        return lambda: fused(call)

    candidates: dict[str, Make] = {
        "default": lambda: lambda: d(image, keys, mask),
        "default, field of view estimated": lambda: lambda: d(image, keys),
        "kernels alone, parameters drawn before": kernels,
        "kernels alone in a CUDA graph": peers.tried(lambda: _graph(kernels(), device)),
        "with gradients, forward": lambda: lambda: d(leaf, keys[:few], mask[:few]),
        "with gradients, forward and backward": lambda: backward,
        "drawing the parameters": lambda: lambda: d.draw(keys, size, size),
        COPY: lambda: lambda: target.copy_(image),
    }
    calls, reasons = peers.ready(candidates)
    seconds = measure(calls, rounds, device=device)
    rows: list[Row] = []
    for name in candidates:
        images = few if name.startswith("with gradients") else batch
        micro = seconds[name] * (1e6 / images) if name in seconds else None
        floor = seconds[COPY] * (1e6 / batch)
        rows.append(
            {
                "size": size,
                "path": name,
                "us": reasons.get(name, micro),
                "images/s": None if micro is None else 1e6 / micro.median,
                "times the copy": peers.ratio(micro, floor),
                "read + written once, GB/s": None if micro is None else 2 * image[0].nbytes / micro.median / 1e3,
            }
        )
    return rows


def _fused(device: str) -> Callable[..., Tensor]:
    peers.load("triton")
    if device != "cuda":
        raise Absent("needs a GPU")
    from degrade.models.fundus.gpu import degrade as fused

    return fused


def _graph(call: Call, device: str) -> Call:
    """The call, captured once and replayed."""
    if device != "cuda":
        raise Absent("needs a GPU")
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):  # what is compiled or allocated once must be over before the capture
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay
