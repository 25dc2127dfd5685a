"""Training in several processes: their gradient is that of one with all images, and they log once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from enhance.training.meter import Meter
from enhance.training.processes import ElsewhereError, first_only
from enhance.training.updates import FabricUpdater
from tests.training_samples import lines, run, tiny, weights

TWO = """
import sys
sys.path.insert(0, {root!r})
from tests.training_samples import run, tiny
run({out!r}, tiny(**{config!r}), source={source!r}, devices={devices!r})
"""
EIGHT = "phantom:chest?count=8&size=32"


def process(tmp_path, name, launcher=(), devices="auto", **config):
    """A run in processes of its own; its folder."""
    root, out = str(Path(__file__).parents[2]), str(tmp_path / name)
    script = tmp_path / f"{name}.py"
    script.write_text(TWO.format(root=root, out=out, source=EIGHT, devices=devices, config=config))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": root}
    command = [sys.executable, *launcher, str(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, cwd=root)
    assert done.returncode == 0, done.stderr
    return out


class TestTwoProcesses:
    EXACT: ClassVar = {"optimizer": "sgd", "double": True}

    @pytest.mark.slow
    def test_their_gradient_is_that_of_one_with_all_images(self, tmp_path):
        two = process(tmp_path, "two", batch_size=2, steps=1, devices="cpu:2", **self.EXACT)
        run(tmp_path / "one", tiny(batch_size=4, steps=1, **self.EXACT), source=EIGHT)
        start = tiny(**self.EXACT).networks.state_dict()
        a, b = weights(two), weights(tmp_path / "one")
        for name in ("enhancer.conv.weight", "enhancer.conv.bias"):
            two_processes, one_process = start[name] - a[name], start[name] - b[name]
            assert float((two_processes - one_process).norm()) < 1e-6 * float(one_process.norm())
        assert lines(two)[0]["losses"]["mse"] == pytest.approx(lines(tmp_path / "one")[0]["losses"]["mse"], rel=1e-6)

    @pytest.mark.slow
    def test_under_torchrun_they_log_once(self, tmp_path):
        launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
        out = process(tmp_path, "torchrun", launcher, steps=3)
        assert [line["step"] for line in lines(out)] == [1, 2, 3]


PART = """
import sys
from dataclasses import replace
import torch
sys.path.insert(0, {root!r})
from enhance.trainers import Sources
from enhance.training.processes import gather, team
from enhance.training.updates import FabricUpdater
from tests.trainer_runs import TINY, phantoms

def equal(fabric, trainer, update):
    stream = trainer.stream(Sources(phantoms()), rank=fabric.global_rank, world_size=fabric.world_size)
    trainer.step(next(iter(stream)), 0, update)
    gradients = [weight.grad.flatten() for weight in trainer.parameters("network") if weight.grad is not None]
    first, second = gather(fabric, torch.cat(gradients).tolist())
    return first == second

with team("cpu:2", "32-true") as fabric:
    kind, config = TINY["magenet"]
    ours, wrapped = (kind(replace(config, rsp_share=1.0, teacher=False)) for _ in range(2))
    wrapped._student = fabric.setup_module(wrapped._student)
    found = [equal(fabric, ours, FabricUpdater(fabric, ours))]
    found.append(equal(fabric, wrapped, lambda _, loss: fabric.backward(loss)))
    if fabric.is_global_zero:
        print("equal gradients:", *found)
"""


@pytest.mark.slow
def test_a_part_of_a_network_needs_gradients_averaged_by_hand(tmp_path):
    """Ours are equal in both processes; under Fabric's DistributedDataParallel each process keeps its own."""
    root = str(Path(__file__).parents[2])
    script = tmp_path / "part.py"
    script.write_text(PART.format(root=root))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": root}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "equal gradients: True False" in done.stdout


class FakeFabric:
    """Two processes of which the other one's gradients are 3 everywhere."""

    world_size, device, is_global_zero = 2, torch.device("cpu"), True

    def backward(self, loss):
        loss.backward()


def test_gradients_are_means_over_the_processes(monkeypatch):
    trainer = tiny(optimizer="sgd")
    monkeypatch.setattr("torch.distributed.all_reduce", lambda flat: flat.add_(3.0))
    start = trainer.network.conv.bias.clone()
    FabricUpdater(FakeFabric(), trainer)("enhancer", trainer.network.conv.bias.sum())  # gradient 1 here
    torch.testing.assert_close(trainer.network.conv.bias, start - 0.01 * 2)


def test_the_meter_gives_means_over_the_processes(monkeypatch):
    meter = Meter(FakeFabric(), 4)
    monkeypatch.setattr("torch.distributed.all_reduce", lambda flat: flat.add_(3.0))
    meter.add(1, {"mse": torch.tensor(1.0)})
    assert meter.line(0, tiny())["losses"] == {"mse": 2.0}


class TestFirstOnly:
    def test_its_value_is_everybodys(self):
        assert first_only(One(), lambda: 5) == 5

    def test_what_it_raises_ends_the_others(self):
        with pytest.raises(ElsewhereError, match="no room"):
            first_only(Other("no room"), lambda: 5)
        with pytest.raises(ElsewhereError):
            first_only(Other(""), lambda: 5)  # an error without words is one too


class One:
    is_global_zero = True

    def broadcast(self, value):
        return value


class Other:
    """A process that is not the first, which has failed."""

    is_global_zero = False

    def __init__(self, message):
        self.message = message

    def broadcast(self, value):
        return self.message, None
