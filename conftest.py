"""What tests are collected on this machine, and how the GPU's kernels run where there is no GPU."""

import os
from importlib.util import find_spec

import torch

collect_ignore_glob = []
if not find_spec("torchvision"):
    collect_ignore_glob.append("degrade/adapters/torchvision.py")
if not find_spec("triton"):
    collect_ignore_glob.append("degrade/triton/*")
if not find_spec("numba"):
    collect_ignore_glob.append("degrade/numba/*")
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported, which other packages do too
