"""What the tests of the commands share: running them, and looking at what they wrote."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import torch
from click.testing import CliRunner, Result

import degrade
from cli.degrade import main
from degrade.images import image_io

PHANTOMS = "phantom:fundus?count=3&size=64"


def run(*arguments: object, code: int = 0) -> Result:
    """Runs the command; the exit code must be the expected one, and a failure must be told without a traceback."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def photograph(path: Path, seed: int = 0, size: int = 64, bits: int = 8, channels: int = 3) -> Path:
    """A phantom's file, cut so that it is no square."""
    image = degrade.phantom.fundus(degrade.make_keys(seed, 1), size)[0][0, :channels, :, 3:]
    image_io.write(path, image_io.to_integer(image, bits))
    return path


def files(root: Path) -> dict[str, bytes]:
    """Every file of a folder and its content."""
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def manifest(root: Path) -> list[dict[str, object]]:
    """The lines of a data set's manifest."""
    return [json.loads(line) for line in (root / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]


def failures(root: Path) -> dict[str, str]:
    """What failed and why."""
    lines = (root / "failed.jsonl").read_text(encoding="utf-8").splitlines()
    return {entry["source"]: entry["error"] for entry in map(json.loads, lines)}


def equal(a: Path, b: Path) -> bool:
    """Whether two image files hold the same picture, type and all."""
    first, second = image_io.read(a), image_io.read(b)
    return first.dtype == second.dtype and torch.equal(first.int(), second.int())


def uri_pixels(uri: str) -> torch.Tensor:
    """The picture of a data URI, uint8 (C, H, W)."""
    return image_io.read_bytes(base64.b64decode(uri.partition("base64,")[2]))
