"""The batch script of docs/slurm.md, and runs whose processes are started as srun starts them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from enhance.checkpoints import read_weights
from enhance.training import GOES_ON
from enhance.training.processes import RunError, team
from tests.training_samples import lines

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


def script():
    return re.search(r"```bash\n(.*?)```", (ROOT / "docs/slurm.md").read_text(), re.DOTALL)[1]


@pytest.fixture
def batch(tmp_path):
    """Runs the script with commands that note how they were called; srun ends with a status."""
    (tmp_path / "bin").mkdir()
    for name in ("srun", "scontrol"):
        command = tmp_path / "bin" / name
        command.write_text(f'#!/bin/bash\necho {name} "$@" >> {tmp_path}/calls\nexit ${{STATUS:-0}}\n')
        command.chmod(0o755)

    def run(status):
        environment = {
            "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
            "STATUS": str(status),
            "SLURM_SUBMIT_DIR": str(tmp_path),
            "SLURM_JOB_ID": "7",
        }
        (tmp_path / "calls").unlink(missing_ok=True)
        done = subprocess.run(["bash", "-c", script()], env=environment, timeout=30)
        return done.returncode, (tmp_path / "calls").read_text().splitlines()

    return run


def test_the_script_begins_requeues_and_resumes(tmp_path, batch):
    status, calls = batch(GOES_ON)
    assert status == GOES_ON
    out = tmp_path / "runs/xbdcnn"
    source = tmp_path / "radiographs"
    assert calls == [
        f"srun enhance train xbdcnn {source} --set batch_size=16 --workers 3 --out {out}",
        "scontrol requeue 7",
    ]
    out.mkdir(parents=True)
    (out / "run.toml").touch()
    assert batch(0) == (0, [f"srun enhance train --resume --out {out}"])
    assert batch(1) == (1, [f"srun enhance train --resume --out {out}"])


@pytest.mark.slow
def test_tasks_of_srun_stop_after_the_same_step(tmp_path):
    """Each task is signaled by itself, its workers too; the first one's status is that of srun."""
    small = (
        "--set width=4 --set level_width=4 --set crop=32 --set batch_size=2 --set patches=8 --devices cpu --workers 1"
    )
    rare = "--log-every 1 --save-every 100000 --validate-every 100000 --steps 100000"
    source = "phantom:chest?count=8&size=64"
    words = [sys.executable, "-m", "cli.enhance", "train", "xbdcnn", source, "--out", str(tmp_path / "run")]
    tasks = []
    for rank in range(2):
        slurm = {
            "SLURM_JOB_ID": str(os.getpid()),
            "SLURM_JOB_NAME": "xbdcnn",
            "SLURM_NTASKS": "2",
            "SLURM_NTASKS_PER_NODE": "2",
            "SLURM_NNODES": "1",
            "SLURM_PROCID": str(rank),
            "SLURM_LOCALID": str(rank),
            "SLURM_NODEID": "0",
            "OMP_NUM_THREADS": "1",
        }
        tasks.append(
            subprocess.Popen(
                [*words, *small.split(), *rare.split()],
                cwd=ROOT,
                env=os.environ | slurm,
                start_new_session=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    log, until = tmp_path / "run/log.jsonl", time.monotonic() + 120
    try:
        while not log.exists() or len(log.read_bytes().splitlines()) < 4:
            assert [task.poll() for task in tasks] == [None, None], [task.communicate() for task in tasks]
            assert time.monotonic() < until
            time.sleep(0.02)
        for task in tasks:
            os.killpg(task.pid, signal.SIGUSR1)
        said = [task.communicate(timeout=60)[1] for task in tasks]
    finally:
        for task in tasks:
            task.kill()
    assert [task.returncode for task in tasks] == [GOES_ON, 0], said
    done = lines(tmp_path / "run")[-1]["step"]
    assert f"Stopped by SIGUSR1 after step {done}, saved" in said[0]
    assert "Stopped" not in said[1]
    assert "Traceback" not in "".join(said)
    assert read_weights(tmp_path / "run").step == done


def test_an_environment_that_fabric_refuses_is_one_line(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_NAME", "xbdcnn")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE", raising=False)
    with pytest.raises(RunError, match="ntasks-per-node"), team("cpu", "32-true"):
        pass
