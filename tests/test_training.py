"""The training loop: seeds, log, validation, averages, errors, several processes."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from degrade import image_io
from degrade.stream import open_source
from enhance import log
from enhance.holdout import group_of, hold_out, split
from enhance.meter import Meter
from enhance.processes import Interruption, RunError, read_devices
from enhance.trainers import Sources
from enhance.training import FabricUpdater, Options
from enhance.validation import grid
from tests.training_samples import lines, losses, run, same, sources, tiny, weights

HELD = "phantom:chest?count=2&size=32&seed=1"


class TestLoop:
    def test_same_seed_same_losses(self, tmp_path):
        run(tmp_path / "a", tiny(steps=3))
        run(tmp_path / "b", tiny(steps=3))
        run(tmp_path / "c", tiny(steps=3, seed=1))
        assert losses(tmp_path / "a") == losses(tmp_path / "b") != losses(tmp_path / "c")
        assert list(losses(tmp_path / "a")) == [1, 2, 3]

    def test_global_state_is_as_before(self, tmp_path):
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        handler = signal.getsignal(signal.SIGINT)
        run(tmp_path, tiny(steps=1))
        assert torch.equal(torch.rand(3), expected)
        assert signal.getsignal(signal.SIGINT) is handler
        assert torch.tensor(1e-310, dtype=torch.float64) * 1 > 0

    def test_log(self, tmp_path):
        run(tmp_path, tiny(steps=5), log_every=2, save_every=100)
        found = lines(tmp_path)
        assert [line["step"] for line in found] == [2, 4, 5]
        assert [line["epoch"] for line in found] == [0, 1, 2]  # two batches of two from five images
        assert found[-1]["rates"] == {"enhancer": 0.01 / 5}
        for line in found:
            assert line["seconds"] > 0
            assert line["images_per_second"] > 0
            assert 0 < line["waiting"] < 1
        assert log.read(tmp_path) == found

    def test_a_line_is_the_mean_of_its_steps(self, tmp_path):
        run(tmp_path / "fine", tiny(steps=4), save_every=100)
        run(tmp_path / "coarse", tiny(steps=4), save_every=100, log_every=4)
        each = [entry["mse"] for entry in losses(tmp_path / "fine").values()]
        assert losses(tmp_path / "coarse")[4]["mse"] == pytest.approx(sum(each) / 4)

    def test_epochs(self, tmp_path):
        assert run(tmp_path, tiny(steps=999), epochs=2).config.steps == 4
        assert lines(tmp_path)[-1]["step"] == 4

    def test_clipping(self, tmp_path):
        before = tiny(optimiser="sgd", steps=1, clip=1e-3)
        start = [weight.clone() for weight in before.network.state_dict().values()]
        after = run(tmp_path, before)
        moved = math.sqrt(
            sum(float((a - b).square().sum()) for a, b in zip(after.network.state_dict().values(), start, strict=True))
        )
        assert moved == pytest.approx(0.01 * 1e-3, rel=1e-3)

    def test_bfloat16_updates_are_seen_within_a_step(self, tmp_path):
        trainer = tiny(optimiser="sgd", steps=1)
        outputs = []

        def step(batch, number, update):
            for _ in range(2):
                image = trainer.network(batch.degraded)
                outputs.append((image.dtype, image.detach().float().mean()))
                update("enhancer", 1e3 * image.float().mean())
            return {}

        trainer.step = step
        run(tmp_path, trainer, precision="bf16-mixed")
        assert outputs[0][1] - outputs[1][1] > 1  # autocast caches weights: without care the second would be the first
        assert trainer.network.conv.weight.dtype == torch.float32

    def test_average(self, tmp_path):
        run(tmp_path, tiny(steps=3), ema=0.5)
        found = weights(tmp_path)
        averaged = {name.removeprefix("ema:"): value for name, value in found.items() if name.startswith("ema:")}
        assert averaged.keys() == {"conv.weight", "conv.bias", "seen"}
        assert not torch.equal(averaged["conv.weight"], found["enhancer.conv.weight"])


class TestValidation:
    def test_lines_pictures_and_best(self, tmp_path):
        run(tmp_path, tiny(steps=7), open_source(HELD), validate_every=3)
        found = [line for line in lines(tmp_path) if "validation" in line]
        assert [line["step"] for line in found] == [3, 6, 7]
        degraded = {line["validation"]["degraded_psnr"] for line in found}
        assert len(degraded) == 1  # always the same degradations
        assert found[0]["validation"]["images"] == 2
        assert {path.name for path in (tmp_path / "samples").iterdir()} == {f"step_{n:06d}.png" for n in (3, 6, 7)}
        assert image_io.read(tmp_path / "samples/step_000003.png").shape == (1, 68, 104)
        best = max(found, key=lambda line: line["validation"]["psnr"])["step"]
        from enhance.checkpoints import read_weights

        assert read_weights(tmp_path / "best.safetensors").step == best

    def test_numbers_are_those_of_the_images(self, tmp_path):
        from degrade.stream import PairStream
        from enhance.metrics import psnr

        trainer = run(tmp_path, tiny(steps=1), open_source(HELD))
        stream = PairStream(HELD, "x-bdcnn", batch_size=2, crop=32, shuffle=False)
        batch = next(iter(stream))
        expected = psnr(trainer.network.enhance(batch.degraded).detach(), batch.clean).mean()
        assert lines(tmp_path)[-1]["validation"]["psnr"] == pytest.approx(float(expected), abs=1e-4)

    def test_training_is_the_same_without(self, tmp_path):
        run(tmp_path / "with", tiny(steps=4), open_source(HELD), validate_every=1)
        run(tmp_path / "without", tiny(steps=4))
        assert same(weights(tmp_path / "with"), weights(tmp_path / "without"))

    def test_grid_of_several_sizes(self):
        picture = grid([[torch.ones(3, 40, 20)] * 3, [torch.ones(3, 600, 600)] * 3])
        assert picture.shape == (3, 2 * 256 + 4, 3 * 256 + 8)


class TestErrors:
    def test_nan(self, tmp_path):
        with pytest.raises(RunError, match=r"loss 'mse' is nan in step 4"):
            run(tmp_path, tiny(poison=3), log_every=50, save_every=2)
        assert all(value.isfinite().all() for value in weights(tmp_path).values())

    def test_too_few_images(self, tmp_path):
        with pytest.raises(RunError, match=r"batch_size = 8: more than the 5 samples of an epoch"):
            run(tmp_path, tiny(batch_size=8))

    def test_colours(self, tmp_path):
        with pytest.raises(RunError, match=r"has grey images; channels = 3: set channels=1"):
            run(tmp_path, tiny(channels=3))

    def test_unwanted_low(self, tmp_path):
        from enhance.training import train

        with pytest.raises(RunError, match="has no use for"):
            train(tiny(), Sources(open_source(HELD), open_source(HELD)), tmp_path)

    def test_a_folder_in_use(self, tmp_path):
        run(tmp_path, tiny(steps=1))
        (tmp_path / "mine.txt").write_text("mine")
        with pytest.raises(RunError, match="is not empty"):
            run(tmp_path, tiny(steps=1))
        run(tmp_path, tiny(steps=2), overwrite=True)
        assert list(losses(tmp_path)) == [1, 2]
        assert (tmp_path / "mine.txt").exists()

    @pytest.mark.parametrize(("name", "value"), [("log_every", 0), ("ema", 1.0), ("epochs", 0)])
    def test_options(self, name, value):
        with pytest.raises(RunError, match=f"{name} = {value}"):
            Options(**{name: value})

    @pytest.mark.parametrize("devices", ["gpu", "0", "cpu:x", "cpux", ""])
    def test_devices(self, devices):
        with pytest.raises(RunError, match="devices = "):
            read_devices(devices)

    def test_precision(self, tmp_path):
        with pytest.raises(RunError, match=r"precision = '16': allowed is 32-true or bf16-mixed"):
            run(tmp_path, precision="16")

    def test_tensorboard_missing(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
        with pytest.raises(ModuleNotFoundError, match="pip install tensorboard"):
            run(tmp_path, tensorboard=True)


class TestInterruption:
    def test_ctrl_c_saves_first(self, tmp_path):
        trainer = tiny(steps=50)
        stepped = trainer.step

        def step(batch, number, update):
            if number == 2:
                os.kill(os.getpid(), signal.SIGINT)
            return stepped(batch, number, update)

        trainer.step = step
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "stopped", trainer, save_every=100)
        assert (tmp_path / "stopped/state_000003.pt").exists()
        run(tmp_path / "stopped", tiny(steps=5), resume=True)
        run(tmp_path / "whole", tiny(steps=5))
        assert same(weights(tmp_path / "stopped"), weights(tmp_path / "whole"))

    def test_the_second_one_stops_at_once(self):
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGINT)
            assert interruption.came
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)

    def test_in_a_thread_it_does_nothing(self):
        thread = threading.Thread(target=lambda: Interruption().__enter__())
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class TestHoldOut:
    def test_groups(self):
        expected = {
            "nih_00001300_000": "nih_00001300",
            "sub/00001300_012": "00001300",
            "csdi_s10.0_p22a": "p22",
            "csdi_s2.0_cataract_056": "csdi_s2.0_cataract_056",
            "nervest2_shOD133": "nervest2",
            "ccmid_zxOS1": "ccmid",
            "10_left": "10",
            "drive_01": "drive_01",
            "chest_0001": "chest_0001",
            "hrf_13_g": "hrf_13_g",
        }
        assert {id_: group_of(id_) for id_ in expected} == expected

    def test_no_patient_on_both_sides(self):
        ids = [f"nih_{patient:08d}_{visit:03d}" for patient in range(40) for visit in range(1 + patient % 4)]
        kept, held = split(ids, 0.2)
        assert sorted(kept + held) == sorted(ids)
        assert not {group_of(id_) for id_ in kept} & {group_of(id_) for id_ in held}
        assert abs(len(held) - 0.2 * len(ids)) <= 2
        assert split(list(reversed(ids)), 0.2)[1] == held[::-1]
        assert split(ids, 0.2, seed=1)[1] != held

    def test_one_group_is_refused(self):
        with pytest.raises(ValueError, match="another rule for groups"):
            split(["nervest1_001", "nervest1_002"], 0.2)
        with pytest.raises(ValueError, match="not a regular expression"):
            split(["a", "b"], 0.2, group="(")

    def test_low_images_of_a_held_out_patient_are_held_out(self):
        high = open_source("phantom:fundus?count=10&size=32")
        low = open_source("phantom:fundus?count=20&size=32&seed=1")  # ids 0 to 9 are those of `high`
        trained, held = hold_out(Sources(high, low), 0.2)
        assert set(held.high.ids) <= set(held.low.ids)
        assert set(trained.high.ids) <= set(trained.low.ids)
        assert len(held.low) == 4
        assert not set(trained.low.ids) & set(held.low.ids)

    def test_real_names(self, data: Path):
        ids = [path.stem for path in sorted((data / "fundus/poor").iterdir())]
        kept, held = split(ids, 0.2)
        assert not {group_of(id_) for id_ in kept} & {group_of(id_) for id_ in held}
        assert len({group_of(id_) for id_ in ids}) < len(ids)


TWO = """
import sys
sys.path.insert(0, {root!r})
from tests.training_samples import run, tiny
run({out!r}, tiny(**{config!r}), source={source!r}, devices={devices!r})
"""
EIGHT = "phantom:chest?count=8&size=32"


def process(tmp_path, name, launcher=(), devices="auto", **config):
    """A run in processes of its own; its folder."""
    root, out = str(Path(__file__).parents[1]), str(tmp_path / name)
    script = tmp_path / f"{name}.py"
    script.write_text(TWO.format(root=root, out=out, source=EIGHT, devices=devices, config=config))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": root}
    command = [sys.executable, *launcher, str(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, cwd=root)
    assert done.returncode == 0, done.stderr
    return out


class TestTwoProcesses:
    EXACT: ClassVar = {"optimiser": "sgd", "double": True}

    def test_their_gradient_is_that_of_one_with_all_images(self, tmp_path):
        two = process(tmp_path, "two", batch_size=2, steps=1, devices="cpu:2", **self.EXACT)
        run(tmp_path / "one", tiny(batch_size=4, steps=1, **self.EXACT), source=EIGHT)
        start = tiny(**self.EXACT).networks.state_dict()
        a, b = weights(two), weights(tmp_path / "one")
        for name in ("enhancer.conv.weight", "enhancer.conv.bias"):
            two_processes, one_process = start[name] - a[name], start[name] - b[name]
            assert float((two_processes - one_process).norm()) < 1e-6 * float(one_process.norm())
        assert lines(two)[0]["losses"]["mse"] == pytest.approx(lines(tmp_path / "one")[0]["losses"]["mse"], rel=1e-6)

    def test_under_torchrun_they_log_once(self, tmp_path):
        launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
        out = process(tmp_path, "torchrun", launcher, steps=3)
        assert [line["step"] for line in lines(out)] == [1, 2, 3]


class FakeFabric:
    """Two processes of which the other one's gradients are 3 everywhere."""

    world_size, device, is_global_zero = 2, torch.device("cpu"), True

    def backward(self, loss):
        loss.backward()


def test_gradients_are_means_over_the_processes(monkeypatch):
    trainer = tiny(optimiser="sgd")
    monkeypatch.setattr("torch.distributed.all_reduce", lambda flat: flat.add_(3.0))
    start = trainer.network.conv.bias.clone()
    FabricUpdater(FakeFabric(), trainer)("enhancer", trainer.network.conv.bias.sum())  # gradient 1 here
    torch.testing.assert_close(trainer.network.conv.bias, start - 0.01 * 2)


def test_meter_sees_interruptions_of_other_processes(monkeypatch):
    meter = Meter(FakeFabric(), 4)
    monkeypatch.setattr("torch.distributed.all_reduce", lambda flat: flat.add_(torch.tensor([3.0, 1.0])))
    meter.add(1, {"mse": torch.tensor(1.0)})
    line, stop = meter.line(0, tiny(), interrupted=False)
    assert stop
    assert line["losses"] == {"mse": 2.0}


def test_enhance_is_light():
    code = "import sys, enhance; print([m for m in ('lightning_fabric', 'kornia', 'safetensors') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, timeout=60).strip() == "[]"


def test_sources_is_what_it_says():
    assert sources().low is None
