"""Trainers small enough for a test, phantoms for them, and the plainest loop that drives them."""

from __future__ import annotations

from functools import cache
from itertools import count, islice

import torch

import degrade
from degrade.stream import open_source
from degrade.stream.arrays import DatasetSource
from enhance.trainers.base import Sources
from enhance.trainers.magenet import MAGEConfig, MAGETrainer
from enhance.trainers.pcenet import PCEConfig, PCETrainer
from enhance.trainers.sspnet import SSPConfig, SSPTrainer
from enhance.trainers.zhao import ZhaoConfig, ZhaoTrainer

SIDE = 64
_PLAIN = {"size": None, "crop": None}
TINY = {
    "pcenet": (PCETrainer, PCEConfig(steps=6, batch_size=2, views=2, width=4, **_PLAIN)),
    "zhao": (ZhaoTrainer, ZhaoConfig(steps=6, batch_size=2, width=4, blocks=1, d_width=4, pool=3, **_PLAIN)),
    "magenet": (
        MAGETrainer,
        MAGEConfig(
            steps=6,
            batch_size=2,
            unlabelled_size=1,
            width=8,
            level_step=4,
            stage2_step=4,
            num_cab=1,
            rsp_width=4,
            **_PLAIN,
        ),
    ),
    "sspnet": (
        SSPTrainer,
        SSPConfig(
            steps=6,
            batch_size=2,
            width=4,
            depths=(1, 1, 1, 1),
            decoder=(16, 16, 8, 8, 8),
            d_width=4,
            d_layers=1,
            **_PLAIN,
        ),
    ),
}


@cache
def phantoms(kind="fundus", number=8, seed=0):
    """Images with their maps, rendered once for all tests."""
    source = open_source(f"phantom:{kind}?count={number}&size={SIDE}&seed={seed}")
    return DatasetSource([source.load(index) for index in range(number)])


@cache
def pairs(kind, recipe, number, seed, **settings):
    """Clean phantoms, degraded ones of them, their field of view, and their vessels or nerves."""
    clean, structure, *_ = getattr(degrade.phantom, kind)(degrade.make_keys(seed, number), SIDE)
    model = degrade.recipe(recipe, **settings)
    mask = model.field_of_view(clean)
    return clean, model(clean, degrade.make_keys(seed + 1, number), mask), mask, structure


def sources_of(trainer, number=8):
    """Phantoms, and degraded other ones for those that take bad images."""
    kind = "cornea" if trainer.name == "sspnet" else "fundus"
    if trainer.needs_low == "no":
        return Sources(phantoms(kind, number))
    return Sources(phantoms(kind, number), open_source(pairs(kind, trainer.config.recipe, number, 100)[1]))


def train(trainer, sources, start=0, stop=None, updater=None, after=None):
    """Steps from `start` on, without `enhance.training`; returns the losses of each as numbers."""
    torch.set_flush_denormal(True)  # dead maps leave numbers so small that a CPU takes many times as long with them
    try:
        return _train(trainer, sources, start, stop or trainer.config.steps, updater or Plain(trainer), after)
    finally:
        torch.set_flush_denormal(False)


def _train(trainer, sources, start, stop, updater, after):
    stream = trainer.stream(sources)
    history = []
    for number, batch in islice(enumerate(batches(stream)), start, stop):
        for name, lr in trainer.rate(number).items():
            for group in trainer.optimizers[name].param_groups:
                group["lr"] = lr
        losses = trainer.step(batch, number, updater)
        history.append({name: loss.item() for name, loss in losses.items()})
        if after:
            after(number)
    return history


def batches(stream):
    for epoch in count():
        stream.set_epoch(epoch)
        yield from stream


class Plain:
    """The updater without processes and precision."""

    def __init__(self, trainer):
        self.trainer = trainer

    def __call__(self, name, loss):
        optimizer = self.trainer.optimizers[name]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def mean(history, name, which):
    """The mean of one loss over a slice of the steps."""
    values = [losses[name] for losses in history[which]]
    return sum(values) / len(values)


def correlation(image, other):
    """Pearson's, of each image with its other; (B, C, H, W) -> (B,)."""
    return torch.nn.functional.cosine_similarity(
        *(x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (image, other))
    )
