"""The training loop: seeds, log, validation, averages, errors."""

from __future__ import annotations

import math
import signal
import subprocess
import sys

import pytest
import torch

from degrade.display import Tile
from degrade.images import image_io
from degrade.stream import open_source
from enhance.trainers import Sources
from enhance.training import Options, log
from enhance.training.processes import RunError, read_devices
from enhance.training.validation import write_sheet
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
        before = tiny(optimizer="sgd", steps=1, clip=1e-3)
        start = [weight.clone() for weight in before.network.state_dict().values()]
        after = run(tmp_path, before)
        moved = math.sqrt(
            sum(float((a - b).square().sum()) for a, b in zip(after.network.state_dict().values(), start, strict=True))
        )
        assert moved == pytest.approx(0.01 * 1e-3, rel=1e-3)

    def test_bfloat16_updates_are_seen_within_a_step(self, tmp_path):
        trainer = tiny(optimizer="sgd", steps=1)
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
        picture = image_io.read(tmp_path / "samples/step_000003.png")
        assert picture.shape[0] == 3  # labelled: input, output and reference of two images
        assert picture.shape[1] > 2 * 192
        assert picture.shape[2] > 3 * 192
        assert image_io.read(tmp_path / "curves.png").shape == (3, 560, 1400)
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

    def test_a_sheet_of_several_sizes(self, tmp_path):
        rows = [[Tile("a", torch.ones(3, *size))] * 3 for size in ((40, 20), (600, 600))]
        write_sheet(tmp_path / "sheet.png", rows, "the end")
        height, width = image_io.read(tmp_path / "sheet.png").shape[1:]
        assert 2 * 256 < height < 2 * 256 + 150
        assert 3 * 256 < width < 3 * 256 + 50

    def test_an_error_in_it_loses_nothing(self, tmp_path, monkeypatch):
        def fail(*_args):
            raise ValueError("a bad image")

        monkeypatch.setattr("enhance.training.validation.Validation.__call__", fail)
        with pytest.raises(ValueError, match="a bad image"):
            run(tmp_path, tiny(steps=9), open_source(HELD), validate_every=2, save_every=2)
        assert (tmp_path / "state_000002.pt").exists()


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
            run(tmp_path, logger="tensorboard")


def test_enhance_is_light():
    code = "import sys, enhance; print([m for m in ('lightning_fabric', 'kornia', 'safetensors') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, timeout=60).strip() == "[]"


def test_sources_is_what_it_says():
    assert sources().low is None
