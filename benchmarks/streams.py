"""What a stream costs beside the training that it feeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

import degrade
from benchmarks.timing import medians
from degrade.stream import Batch, PairStream

SIZE, BATCH = 256, 16


class UNet(nn.Module):
    """A plain U-Net of 5 million parameters: the network of the published step."""

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128, 256, 272)) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        self.first = _double(3, widths[0])
        self.down = nn.ModuleList(_double(low, high) for low, high in pairs)
        self.up = nn.ModuleList(_double(low + high, low) for low, high in reversed(pairs))
        self.last = nn.Conv2d(widths[0], 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        kept = [self.first(image)]
        for block in self.down:
            kept.append(block(nn.functional.max_pool2d(kept[-1], 2)))
        x = kept.pop()
        for block in self.up:
            x = block(torch.cat([nn.functional.interpolate(x, scale_factor=2.0), kept.pop()], 1))
        out: Tensor = self.last(x)
        return out


def _double(low: int, high: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(low, high, 3, padding=1), nn.ReLU(), nn.Conv2d(high, high, 3, padding=1), nn.ReLU())


def overhead() -> list[dict[str, Any]]:
    """A training step on a stream against the same step on one constant batch."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images = degrade.image_io.to_integer(degrade.phantom.fundus(degrade.make_keys(0, 2 * BATCH), SIZE)[0])
    stream = PairStream(images, "cofe-net", batch_size=BATCH, hflip=True, device=device)
    network = UNet().to(device)
    optimiser = torch.optim.Adam(network.parameters())
    constant = next(iter(stream))
    batches = _endless(stream)

    def step(batch: Batch) -> None:
        loss = ((network(batch.degraded) - batch.clean).abs() * batch.mask).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if device == "cuda":
            torch.cuda.synchronize()

    rounds = 50 if device == "cuda" else 5
    times = medians(
        {"constant": lambda: step(constant), "stream": lambda: step(next(batches)), "batch": lambda: next(batches)},
        rounds,
    )
    return [
        {
            "device": device,
            "parameters, million": sum(p.numel() for p in network.parameters()) / 1e6,
            "step on one batch, ms": 1e3 * times["constant"],
            "step on the stream, ms": 1e3 * times["stream"],
            "ratio": times["stream"] / times["constant"],
            "batch alone, ms": 1e3 * times["batch"],
        }
    ]


def shares() -> list[dict[str, Any]]:
    """Where the time of making a batch goes, in one process: milliseconds a batch."""
    folder_like = degrade.image_io.to_integer(degrade.phantom.fundus(degrade.make_keys(0, BATCH), SIZE)[0])
    files = [degrade.image_io.encode(image, "png") for image in folder_like]
    image = degrade.image_io.to_float(folder_like)
    recipe = degrade.recipe("cofe-net")
    keys, mask = degrade.make_keys(0, BATCH), recipe.field_of_view(image)
    parts: dict[str, Callable[[], object]] = {
        "decoding PNG (workers)": lambda: [degrade.image_io.read_bytes(file) for file in files],
        "to float": lambda: torch.stack([degrade.image_io.to_float(one) for one in folder_like]),
        "field of view": lambda: recipe.field_of_view(image),
        "degrading": lambda: recipe.sample(image, keys, mask),
    }
    return [{"part": name, f"ms a batch of {BATCH}": 1e3 * seconds} for name, seconds in medians(parts).items()]


def decoding() -> list[dict[str, Any]]:
    """Images per second from PNG files in memory, by the number of workers."""
    images = degrade.image_io.to_integer(degrade.phantom.fundus(degrade.make_keys(0, 64), SIZE)[0])
    files = [degrade.image_io.encode(image, "png") for image in images]

    class Files:
        def __len__(self) -> int:
            return 8 * len(files)

        def __getitem__(self, index: int) -> Tensor:
            return degrade.image_io.read_bytes(files[index % len(files)])

    rows = []
    for workers in (0, 1, 2):
        stream = PairStream(Files(), "cofe-net", batch_size=BATCH, workers=workers)
        batches = iter(stream)
        next(batches)
        start, count = time.perf_counter(), 0
        for batch in batches:
            count += len(batch)
        rows.append({"workers": workers, "images/s": count / (time.perf_counter() - start)})
    return rows


def _endless(stream: PairStream) -> Iterator[Batch]:
    epoch = 0
    while True:
        stream.set_epoch(epoch)
        yield from stream
        epoch += 1
