"""Data sets that version 0.2 has written are replayed: within one level in all but a thousandth of the pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cli.degrade import main

FOLDER = Path(__file__).parents[1] / "fixtures/version-0.2"
RECIPES = sorted(path.parent.name for path in FOLDER.glob("*/manifest.jsonl"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_old_data_set_is_replayed(recipe: str, tmp_path: Path) -> None:
    manifest = FOLDER / recipe / "manifest.jsonl"
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert len(lines) >= 2
    for line in lines:
        id_, view = line["id"], line["view"]
        clean, out = FOLDER / recipe / f"clean/{id_}.png", tmp_path / f"{id_}_{view}.png"
        result = CliRunner().invoke(main, ["replay", f"{manifest}:{id_}:{view}", str(clean), str(out)])
        assert result.exit_code == 0, result.output
        stored = np.asarray(Image.open(FOLDER / recipe / f"degraded/{id_}_v{view}.png"), np.int16)
        off = np.abs(np.asarray(Image.open(out), np.int16) - stored)
        assert off.max() <= 1
        assert (off > 0).mean() <= 1e-3
        assert np.abs(np.asarray(Image.open(clean), np.int16) - stored).mean() > 0.3  # there was something to do
