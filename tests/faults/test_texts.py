"""Hostile and damaged text at every door that text from outside comes in by: one line each, never a traceback."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import degrade
from degrade.records import to_record
from enhance.checkpoints import WEIGHTS
from enhance.segmenter import VesselSegmenter, save_segmenter
from tests.cli_runs import manifest, photograph, run
from tests.faults.conftest import Tally
from tests.faults.damage import damaged
from tests.faults.guard import Victim
from tests.faults.texts import HOSTILE, changed_json, changed_toml

COFE_NET = {
    "params": {
        "size": 512,
        "illumination": {
            "color": {"brightness_factor": 0.9, "contrast_factor": 1.1, "saturation_factor": 1.2},
            "halo": {"num": 1, "center_a": [250, 260], "dia_a": 450.5, "center_b": [250, 260], "dia_b": 900.1},
            "hole": {"center": [200, 210], "diameter_circle": 300, "brightness_factor": -0.3, "rad_w": 101,
                     "rad_h": 99, "sigma": 60},
        },
        "spots": [{"center": [100, 90], "radius": 22, "rad_w": 9, "rad_h": 9, "sigma": 5.5}],
        "blur": {"sigma": 9.0, "rad_w": 5, "rad_h": 3},
    }
}  # fmt: skip


@pytest.fixture
def many(everything: bool) -> int:
    return 150 if everything else 25


def variants(
    folder: Path, name: str, count: int, seed: int, change: object, whole: bytes
) -> Iterator[tuple[Path, str]]:
    """Files of one name, each of a change of its own: every third damaged as bytes."""
    rng = random.Random(f"{seed} {name}")
    for number in range(count):
        if number % 3:
            data, how = change(rng).encode("utf-8", "surrogatepass"), "hostile text"
        else:
            data, how = damaged(whole, rng)
        (folder / name).write_bytes(data)
        yield folder / name, f"{name} number {number}, {how}, --fault-seed {seed}"


@pytest.mark.parametrize("name", sorted(degrade.RECIPES))
def test_recipes(name: str, tmp_path: Path, tally: Tally, victim: Victim, seed: int, many: int) -> None:
    text = degrade.recipe(name).to_toml()
    changed = variants(tmp_path, "mine.toml", many, seed, lambda rng: changed_toml(text, rng), text.encode())
    victim.try_all("recipe", changed, tally)


@pytest.mark.parametrize("name", ["cofe-net-paper", "cofe-net file", "line"])
def test_parameters(name: str, tmp_path: Path, tally: Tally, victim: Victim, seed: int, many: int) -> None:
    document = COFE_NET
    if name != "cofe-net file":
        recipe = degrade.recipe("cofe-net")
        document = to_record(recipe.parameter_table, recipe.draw(degrade.make_keys(0, 1), 64, 64), 0)
    if name == "line":
        document = {
            "id": "a",
            "view": 0,
            "source": "a",
            "key": str(int(degrade.make_keys(0, 1))),
            "parameters": document,
        }
    text = json.dumps(document).encode()
    changed = variants(tmp_path, "parameters.json", many, seed, lambda rng: changed_json(document, rng), text)
    victim.try_all("parameters", changed, tally)


def test_manifests(tmp_path: Path, tally: Tally, victim: Victim, seed: int, many: int) -> None:
    run("synth", "phantom:fundus?count=2&size=64", tmp_path / "pairs", "--views", 2)
    lines = manifest(tmp_path / "pairs")
    whole = (tmp_path / "pairs/manifest.jsonl").read_bytes()

    def change(rng: random.Random) -> str:
        return f"{changed_json(rng.choice(lines), rng)}\n{json.dumps(lines[0])}\n"

    victim.try_all("manifest", variants(tmp_path / "pairs", "manifest.jsonl", many, seed, change, whole), tally)


def test_lists(tmp_path: Path, tally: Tally, victim: Victim, seed: int, many: int) -> None:
    photograph(tmp_path / "a.png")
    whole = b"\xef\xbb\xbf# images\na.png\n./a.png\n../missing.png\n"

    def change(rng: random.Random) -> str:
        strange = (
            "\0",
            "a\0.png",
            "x" * 300,
            "y/" * 2000,
            "a.png" * 100_000,
            "\ufffe",
            "/dev/zero",
            "/",
            "..",
            "*",
            *HOSTILE,
        )
        return "a.png\n" + rng.choice(strange) + "\n"

    victim.try_all("listing", variants(tmp_path, "images.txt", many, seed, change, whole), tally)


@pytest.mark.parametrize("network", ["xbdcnn", "magenet"])
def test_run_files(network: str, tmp_path: Path, tally: Tally, victim: Victim, seed: int, many: int) -> None:
    from cli.runfile import RunFile
    from enhance.configuration import plain
    from enhance.trainers import trainer

    small = {"width": 8} if network == "magenet" else {"width": 8, "level_width": 8}
    told = {"network": network, "source": "phantom:chest", "workers": 1, "hold_out": 0.2, "ema": 0.5}
    text = RunFile(told, plain(trainer(network, **small).config)).to_toml()
    changed = variants(tmp_path, "run.toml", many, seed, lambda rng: changed_toml(text, rng), text.encode())
    victim.try_all("run_file", changed, tally)


def _rewritten(data: bytes, metadata: dict[str, object]) -> bytes:
    """A safetensors file with other metadata, and no checksum."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = metadata
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def test_weights(tmp_path: Path, tally: Tally, victim: Victim, seed: int, many: int) -> None:
    from enhance.checkpoints import write_weights
    from enhance.trainers import trainer

    made = trainer("xbdcnn", width=8, level_width=8)
    write_weights(tmp_path / WEIGHTS, made, 3, None)
    whole = (tmp_path / WEIGHTS).read_bytes()
    length = int.from_bytes(whole[:8], "little")
    about = json.loads(whole[8 : 8 + length])["__metadata__"]
    config = json.loads(about["config"])
    rng = random.Random(seed)

    def files() -> Iterator[tuple[Path, str]]:
        for number in range(many):
            if number % 3 == 0:
                data, how = damaged(whole, rng)
            elif number % 3 == 1:
                data, how = (
                    _rewritten(whole, {**about, "format": "enhance 1", "config": changed_json(config, rng)}),
                    "config",
                )
            else:
                name = rng.choice(sorted(about))
                data, how = _rewritten(whole, {**about, name: rng.choice([*HOSTILE, 3, None, []])}), f"metadata {name}"
            (tmp_path / "a.safetensors").write_bytes(data)
            yield tmp_path / "a.safetensors", f"weights number {number}, {how}, --fault-seed {seed}"

    victim.try_all("weights", files(), tally)


def test_segmenters(tmp_path: Path, tally: Tally, victim: Victim, seed: int, many: int) -> None:
    save_segmenter(VesselSegmenter(width=4), tmp_path / "s.safetensors")
    whole = (tmp_path / "s.safetensors").read_bytes()
    length = int.from_bytes(whole[:8], "little")
    about = json.loads(whole[8 : 8 + length])["__metadata__"]
    rng = random.Random(seed)

    def files() -> Iterator[tuple[Path, str]]:
        for number in range(many):
            name = rng.choice(sorted(about))
            data, how = _rewritten(whole, {**about, name: rng.choice(HOSTILE)}), f"metadata {name}"
            if number % 3 == 0:
                data, how = damaged(whole, rng)
            (tmp_path / "a.safetensors").write_bytes(data)
            yield tmp_path / "a.safetensors", f"segmenter number {number}, {how}, --fault-seed {seed}"

    victim.try_all("segmenter", files(), tally)
