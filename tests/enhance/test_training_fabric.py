"""A run's processes come without torchmetrics, and Fabric finds its version all the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys
from enhance.training.processes import team
with team("cpu", "32-true") as fabric:
    assert type(fabric).__name__ == "Fabric"
assert not {name for name in sys.modules if name.split(".")[0] in ("torchmetrics", "matplotlib", "scipy")}
from lightning_fabric.utilities.imports import _TORCHMETRICS_GREATER_EQUAL_1_0_0 as found
import torchmetrics
assert torchmetrics.Metric
print(found)
"""


@pytest.mark.slow
def test_torchmetrics_is_left_out_and_can_be_imported_afterwards() -> None:
    pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "True"
