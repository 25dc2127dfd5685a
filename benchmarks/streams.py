"""What a stream costs beside the training that it feeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

import degrade
from benchmarks.samples import fundus
from benchmarks.timing import Row, Spread, measure
from degrade.stream import Batch, PairStream

SIZE, BATCH = 256, 16
WIDTHS = (32, 64, 128, 256, 272)  # 5 million parameters


class UNet(nn.Module):
    """A plain U-Net."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
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


def overhead(
    size: int = SIZE, batch_size: int = BATCH, widths: tuple[int, ...] = WIDTHS, rounds: int | None = None
) -> list[Row]:
    """A training step on a stream against the same step on one constant batch."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images = degrade.images.image_io.to_integer(fundus(2 * batch_size, size)[0])
    stream = PairStream(images, "cofe-net", batch_size=batch_size, hflip=True, device=device)
    network = UNet(widths).to(device)
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

    times = measure(
        {"constant": lambda: step(constant), "stream": lambda: step(next(batches)), "batch": lambda: next(batches)},
        rounds or (50 if device == "cuda" else 5),
    )
    return [
        {
            "device": device,
            "parameters, million": sum(p.numel() for p in network.parameters()) / 1e6,
            "step on one batch, ms": times["constant"] * 1e3,
            "step on the stream, ms": times["stream"] * 1e3,
            "ratio": times["stream"].median / times["constant"].median,
            "batch alone, ms": times["batch"] * 1e3,
        }
    ]


def shares(size: int = SIZE, batch: int = BATCH, rounds: int = 7) -> list[Row]:
    """Where the time of making a batch goes, in one process: milliseconds a batch."""
    image, _, keys = fundus(batch, size)
    whole = degrade.images.image_io.to_integer(image)
    files = [degrade.images.image_io.encode(one, "png") for one in whole]
    image = degrade.images.image_io.to_float(whole)
    recipe = degrade.recipe("cofe-net")
    mask = recipe.field_of_view(image)
    parts: dict[str, Callable[[], object]] = {
        "decoding PNG (workers)": lambda: [degrade.images.image_io.read_bytes(file) for file in files],
        "to float": lambda: torch.stack([degrade.images.image_io.to_float(one) for one in whole]),
        "field of view": lambda: recipe.field_of_view(image),
        "degrading": lambda: recipe.sample(image, keys, mask),
    }
    times = measure(parts, rounds)
    return [{"part": name, f"ms a batch of {batch}": spread * 1e3} for name, spread in times.items()]


def decoding(size: int = SIZE, batch: int = BATCH, count: int = 512, workers: tuple[int, ...] = (0, 1, 2)) -> list[Row]:
    """Images per second from PNG files in memory to pairs, by the number of workers."""
    images = degrade.images.image_io.to_integer(fundus(batch, size)[0])
    files = [degrade.images.image_io.encode(image, "png") for image in images]

    class Files:
        def __len__(self) -> int:
            return count

        def __getitem__(self, index: int) -> Tensor:
            return degrade.images.image_io.read_bytes(files[index % len(files)])

    rows = []
    for number in workers:
        stream = PairStream(Files(), "cofe-net", batch_size=batch, workers=number)
        batches = iter(stream)
        next(batches)
        rates, start = [], time.perf_counter()
        for one in batches:
            now = time.perf_counter()
            rates.append(len(one) / (now - start))
            start = now
        rows.append({"workers": number, "images/s": Spread.of(rates)})
    return rows


def _endless(stream: PairStream) -> Iterator[Batch]:
    epoch = 0
    while True:
        stream.set_epoch(epoch)
        yield from stream
        epoch += 1
