"""Checkpoints: exact resume after any death, files that are whole or not there, and wrong ones refused."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import enhance.checkpoints as checkpoints
import enhance.training.run_checkpoints as training_checkpoints
from enhance.checkpoints import CheckpointError, load_enhancer, read_weights
from enhance.trainers import trainer
from enhance.training.processes import RunError
from tests.training_samples import lines, losses, run, same, tiny, weights

ROOT = Path(__file__).parents[2]
STEPS = 30
KILLED = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.training_samples import run, tiny
run(sys.argv[1], tiny(steps={STEPS}), resume="resume" in sys.argv, save_every=3, ema=0.9)
"""


def without_times(folder):
    return [{k: v for k, v in line.items() if k in ("step", "epoch", "losses", "rates")} for line in lines(folder)]


def kill_somewhere(folder, resume, seed):
    """Starts a run, and kills it between two steps that are drawn; whether it was still running."""
    arguments = [sys.executable, "-c", KILLED, str(folder), *(["resume"] if resume else [])]
    process = subprocess.Popen(arguments, env=os.environ | {"OMP_NUM_THREADS": "1"}, cwd=ROOT)
    wanted = len(lines(folder)) if resume else 0
    wanted += random.Random(seed).randint(1, 8)
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        log = folder / "log.jsonl"
        if log.exists() and log.read_bytes().count(b"\n") >= wanted:
            break
        time.sleep(0.001)
    alive = process.poll() is None
    process.kill()
    process.wait(timeout=30)
    return alive


@pytest.mark.slow
def test_killed_anywhere_and_resumed(tmp_path):
    torch.set_num_threads(1)
    run(tmp_path / "whole", tiny(steps=STEPS), save_every=3, ema=0.9)
    assert kill_somewhere(tmp_path / "killed", False, 0)
    assert kill_somewhere(tmp_path / "killed", True, 1)
    (tmp_path / "killed/.0123456789abcdef.tmp").write_bytes(b"what was being written")
    run(tmp_path / "killed", tiny(steps=STEPS), resume=True, save_every=3, ema=0.9)
    assert same(weights(tmp_path / "killed"), weights(tmp_path / "whole"))
    assert without_times(tmp_path / "killed") == without_times(tmp_path / "whole")
    assert not list((tmp_path / "killed").glob(".*.tmp"))


class Killed(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("keep", [1, 2])
@pytest.mark.parametrize("write", [1, 2, 3, 4, 5, 6])
def test_killed_before_any_of_the_writes_of_a_checkpoint(tmp_path, monkeypatch, write, keep):
    """Whatever was written last, the step of the weights names a state that is there."""
    written = []
    original = checkpoints.write_bytes

    def dies(path, data):
        written.append(path)
        if len(written) == write:
            raise Killed
        original(path, data)

    for module in (checkpoints, training_checkpoints):
        monkeypatch.setattr(module, "write_bytes", dies)
    with pytest.raises(Killed):
        run(tmp_path / "killed", tiny(steps=4), keep=keep)
    monkeypatch.undo()
    run(tmp_path / "killed", tiny(steps=4), resume=True, keep=keep)
    run(tmp_path / "whole", tiny(steps=4))
    assert same(weights(tmp_path / "killed"), weights(tmp_path / "whole"))


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    run(tmp_path, tiny(steps=2))
    before = weights(tmp_path)

    def full(path, data):
        raise OSError(28, "No space left on device", str(path))

    for module in (checkpoints, training_checkpoints):
        monkeypatch.setattr(module, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        run(tmp_path, tiny(steps=4), resume=True)
    assert same(weights(tmp_path), before)
    assert read_weights(tmp_path).step == 2


def test_the_trainers_own_state_comes_back(tmp_path):
    run(tmp_path, tiny(steps=3))
    assert int(run(tmp_path, tiny(steps=5), resume=True).seen) == 10


def test_a_finished_run_is_left_alone(tmp_path):
    run(tmp_path, tiny(steps=3))
    before = (tmp_path / "weights.safetensors").read_bytes()
    run(tmp_path, tiny(steps=3), resume=True)
    assert (tmp_path / "weights.safetensors").read_bytes() == before


def test_later_lines_of_the_log_are_dropped(tmp_path):
    run(tmp_path, tiny(steps=2))
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write(json.dumps({"step": 3, "losses": {"mse": 9.0}}) + '\n{"step": 4, "lo')
    run(tmp_path, tiny(steps=4), resume=True)
    assert list(losses(tmp_path)) == [1, 2, 3, 4]
    assert losses(tmp_path)[3] != {"mse": 9.0}


class TestRefused:
    def test_nothing_to_resume(self, tmp_path):
        with pytest.raises(RunError, match="there is no run to resume"):
            run(tmp_path / "none", resume=True)

    def test_another_configuration(self, tmp_path):
        run(tmp_path, tiny(steps=1))
        with pytest.raises(CheckpointError, match=r"was begun with seed = 0: it cannot go on with 1"):
            run(tmp_path, tiny(seed=1), resume=True)

    def test_another_source(self, tmp_path):
        run(tmp_path, tiny(steps=1))
        with pytest.raises(ValueError, match="was begun on other images"):
            run(tmp_path, tiny(steps=2), resume=True, source="phantom:chest?count=6&size=32")

    def test_fewer_steps_than_were_done(self, tmp_path):
        run(tmp_path, tiny(steps=4))
        with pytest.raises(RunError, match=r"steps = 2: .* has done 4 already"):
            run(tmp_path, tiny(steps=2), resume=True)

    def test_nothing_is_written(self, tmp_path):
        """By any refusal of a resume: not even a time of change differs."""
        run(tmp_path, tiny(steps=4))
        with open(tmp_path / "log.jsonl", "a") as file:
            file.write('{"step": 9}\n')  # what a resume that is not refused drops

        def files():
            found = [path for path in tmp_path.rglob("*") if path.is_file()]
            return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in found}

        before = files()
        refused = [
            {"trainer": tiny(steps=8, seed=1)},
            {"trainer": tiny(steps=8, lr=0.5)},
            {"trainer": tiny(steps=2)},
            {"trainer": tiny(steps=8, batch_size=9)},
            {"trainer": tiny(steps=8), "source": "phantom:chest?count=6&size=32"},
            {"trainer": tiny(steps=8), "precision": "16"},
            {"trainer": tiny(steps=8), "overwrite": True},
            {"trainer": tiny(steps=8, channels=3)},
        ]
        for arguments in refused:
            with pytest.raises((RunError, CheckpointError)):
                run(tmp_path, resume=True, files={"run.toml": "another"}, **arguments)
            assert files() == before, arguments


SMALL = {"width": 4, "level_width": 4, "crop": 32, "batch_size": 2, "patches": 1, "steps": 2}


class TestLoadEnhancer:
    @pytest.fixture
    def folder(self, tmp_path):
        run(tmp_path, trainer("xbdcnn", **SMALL), ema=0.5)
        return tmp_path

    def test_average_and_last(self, folder):
        image = torch.rand(1, 1, 30, 41)
        average, last = load_enhancer(folder), load_enhancer(folder / "weights.safetensors", average=False)
        assert average.enhance(image).shape == image.shape
        assert not average.training
        found = weights(folder)
        assert torch.equal(last.nbd.last.weight, found["enhancer.nbd.last.weight"])
        assert torch.equal(average.nbd.last.weight, found["ema:nbd.last.weight"])

    def test_global_generator_is_left_alone(self, folder):
        before = torch.get_rng_state()
        load_enhancer(folder)
        assert torch.equal(torch.get_rng_state(), before)

    def test_wrong_files(self, folder, tmp_path):
        (tmp_path / "text").write_text("text")
        save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
        for name, message in (("none", "does not exist"), ("text", "damaged"), ("other.safetensors", "no checkpoint")):
            with pytest.raises(CheckpointError, match=message):
                load_enhancer(tmp_path / name)

    def test_weights_of_another_network(self, folder):
        from safetensors import safe_open

        with safe_open(folder / "weights.safetensors", "pt") as opened:
            about = opened.metadata()
        config = json.loads(about["config"]) | {"width": 8}
        del about["checksum"]
        about["format"] = "enhance 1"  # which had no checksum
        tensors = load_file(folder / "weights.safetensors")
        for changed, message in (
            ({"config": json.dumps(config)}, "another network"),
            ({"trainer": "xdcnn"}, "unknown trainer 'xdcnn'; did you mean xbdcnn"),
        ):
            save_file(tensors, folder / "changed.safetensors", about | changed)
            with pytest.raises(CheckpointError, match=message):
                load_enhancer(folder / "changed.safetensors")
