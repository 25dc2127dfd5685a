"""A trainer that takes milliseconds, and sources for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from degrade.stream import PairStream, open_source
from enhance.networks.base import EnhancementNetwork
from enhance.trainers import Config, Sources, Trainer
from enhance.trainers.seeding import seeded
from enhance.training import Options, train


class OneConv(EnhancementNetwork):
    name, value_range, multiple, smallest, training_size, image_channels = "one", (0.0, 1.0), 1, 1, 32, 1

    def __init__(self, channels=1):
        super().__init__(channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, image):
        return image + self.conv(image)


@dataclass(frozen=True, kw_only=True)
class TinyConfig(Config):
    steps: int = 6
    batch_size: int = 2
    size: int | tuple[int, int] | None = None
    crop: int | None = 32
    recipe: str = "x-bdcnn"
    channels: int = 1
    optimizer: str = "adam"
    lr: float = 0.01
    double: bool = False  # so exact that only what is wrong differs
    poison: int = -1  # a step whose loss is NaN


class TinyTrainer(Trainer):
    """One convolution, two updates a step, a loss with dropout, and a state of its own."""

    name, config_class = "tiny", TinyConfig

    def __init__(self, config):
        super().__init__(config)
        with seeded(config.seed):
            self.network = OneConv(config.channels).to(torch.float64 if config.double else torch.float32)
        self.networks = nn.ModuleDict({"enhancer": self.network})
        kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[config.optimizer]
        self.optimizers = {"enhancer": kind(self.network.parameters(), lr=config.lr)}
        self.seen = torch.zeros((), dtype=torch.int64)

    @property
    def enhancer(self):
        return self.network

    def stream(self, sources, **placing):
        config = self.config
        return PairStream(
            sources.high,
            config.recipe,
            batch_size=config.batch_size,
            crop=config.crop,
            seed=config.seed,
            drop_last=True,
            **placing,
        )

    def step(self, batch, number, update):
        self.seen += len(batch)
        image = self.network(batch.degraded.to(self.network.conv.weight.dtype))
        if self.config.optimizer == "adam":
            image = nn.functional.dropout(image, 0.5)  # draws from torch's global generator
        loss = (image - batch.clean).square().mean()
        if number == self.config.poison:
            loss = loss * float("nan")
        update("enhancer", loss)
        return {"mse": loss.detach()}

    def rate(self, number):
        return {} if self.config.optimizer == "sgd" else {"enhancer": 0.01 / (1 + number)}

    def state(self):
        return {"seen": self.seen.clone()}

    def load_state(self, state):
        self.seen = state["seen"]


SOURCE = "phantom:chest?count=5&size=32"
QUICK = {"devices": "cpu", "log_every": 1, "save_every": 2, "validate_every": 3, "bar": False}


def sources(text=SOURCE):
    return Sources(open_source(text))


def tiny(**config):
    return TinyTrainer(TinyConfig(**config))


def run(folder, trainer=None, held_out=None, resume=False, overwrite=False, source=SOURCE, files=None, **options):
    trainer = trainer or tiny()
    chosen = Options(**(QUICK | options))
    ways = {"held_out": held_out, "resume": resume, "overwrite": overwrite, "files": files}
    train(trainer, sources(source), folder, chosen, **ways)
    return trainer


def losses(folder):
    """Step to losses, from the log."""
    return {line["step"]: line["losses"] for line in lines(folder) if "losses" in line}


def lines(folder):
    return [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]


def weights(folder, name="weights.safetensors"):
    return load_file(Path(folder) / name)


def same(a, b):
    """Whether two sets of weights are equal to the bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
