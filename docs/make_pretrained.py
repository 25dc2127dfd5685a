"""Write a network of the package from a run: python docs/make_pretrained.py RUN NAME

The file is enhance/weights/NAME.safetensors. The weights are the run's running average if it keeps one, in half
precision; the configuration stands in the file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from enhance.checkpoints import WEIGHTS, read_weights
from enhance.shipped import FOLDER, SUFFIX
from enhance.tensorfile import read_tensors, write_tensors


def main(run: Path, name: str) -> None:
    """Read the last weights of a run and write them into the package."""
    weights = read_weights(run)
    averaged = {f"enhancer.{key}": value for key, value in weights.average.items()}
    tensors = {key: averaged.get(key, value).half() for key, value in weights.networks.items()}
    about = {**read_tensors(run / WEIGHTS).about, "state": ""}
    FOLDER.mkdir(exist_ok=True)
    write_tensors(FOLDER / f"{name}{SUFFIX}", tensors, about)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
