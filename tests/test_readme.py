"""The README's code runs as it stands, and the commands and recipes it names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import degrade

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", range(3))
def test_the_code_runs(number: int) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, object] = {}
    exec(compile(blocks[number], "README.md", "exec"), names)
    assert {"loss", "maps"} & names.keys()


def test_every_recipe_has_a_row_and_a_page() -> None:
    folder = Path(__file__).parents[1]
    for name in degrade.RECIPES:
        (page,) = re.findall(rf"^\| `{name}` \|.*\]\((.*?)\)\) \|$", README, flags=re.MULTILINE)
        assert (folder / page).is_file()
    for target in re.findall(r"\]\((docs/.*?)\)", README):
        assert (folder / target).exists()
