"""What tests are collected on this machine, options of the fault suite, and how GPU kernels run without a GPU."""

import os
from collections import Counter
from importlib.util import find_spec

import torch

collect_ignore_glob = ["degrade/xray.py", "degrade/image_io.py"]  # old names, which warn
collect_ignore_glob += [
    f"degrade/adapters/{library}.py"
    for library in ("albumentations", "monai", "torchio", "torchvision")
    if not find_spec(library)
]
if not find_spec("triton"):
    collect_ignore_glob += ["degrade/rng/gpu.py", "degrade/models/*/gpu*.py"]
if not find_spec("numba"):
    collect_ignore_glob += ["degrade/jit/*", "degrade/rng/cpu.py", "degrade/ops/*_cpu.py", "degrade/models/*/cpu*.py"]
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported, which other packages do too


def pytest_addoption(parser):
    """Options of tests/faults."""
    group = parser.getgroup("faults")
    group.addoption("--fault-seed", type=int, default=0, metavar="N", help="Another seed, other faults.")
    group.addoption(
        "--faults",
        choices=["some", "all"],
        default="some",
        help="some: a seeded tenth of the malformed inputs and a pairwise selection of the matrices, five minutes. "
        "all: 2,000 images, 1,000 texts, every combination; about an hour.",
    )


def pytest_terminal_summary(terminalreporter):
    """How many faults the fault suite has tried; here, since pytest-xdist's first process sees no other conftest."""
    total = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == "faults" and report.when == "teardown":
                    total.update(tried=value[0], failed=value[1])
    if total["tried"]:
        held = total["tried"] - total["failed"]
        terminalreporter.write_line(f"faults: {total['tried']} tried, {held} held, {total['failed']} failed")
