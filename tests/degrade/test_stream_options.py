"""The options that all streams share: one list, defaults, mistakes, and what a type checker sees of them."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Unpack, get_type_hints

import pytest

from degrade.stream import MixedStream, PairStream, StreamOptions, UnpairedStream
from degrade.stream.options import Option, option_table, with_defaults

EYES = "phantom:fundus?count=4&size=64"
STREAMS = [
    lambda **options: PairStream(EYES, "cofe-net", batch_size=2, **options),
    lambda **options: UnpairedStream(EYES, EYES + "&seed=1", batch_size=2, **options),
    lambda **options: MixedStream(EYES, "cofe-net", EYES + "&seed=1", batch_size=2, unlabelled_size=1, **options),
]


@pytest.mark.parametrize("kind", [PairStream, UnpairedStream, MixedStream])
def test_every_stream_takes_the_one_list(kind):
    assert get_type_hints(kind.__init__)["options"] == Unpack[StreamOptions]
    own = set(inspect.signature(kind.__init__).parameters)
    assert not own & StreamOptions.__annotations__.keys()


def test_every_option_has_a_default_and_a_meaning():
    table = option_table()
    assert list(table) == list(StreamOptions.__annotations__)
    assert all(isinstance(option, Option) and len(option.meaning) > 10 for option in table.values())
    given = with_defaults("X", {"seed": 3})
    assert given.keys() == table.keys()
    assert given["seed"] == 3
    assert (given["size"], given["device"], given["shuffle"], given["workers"]) == (None, "cpu", True, 0)


def test_the_page_on_streams_lists_the_options():
    page = (Path(__file__).parents[2] / "docs/streams.md").read_text(encoding="utf-8")
    rows = [f"| `{name}` | {option.default!r} | {option.meaning} |" for name, option in option_table().items()]
    assert "\n".join(["| option | default | meaning |", "|---|---|---|", *rows, "", "To share"]) in page


@pytest.mark.parametrize("make", STREAMS)
def test_an_option_that_does_not_exist_is_a_type_error(make):
    with pytest.raises(TypeError, match=r"Stream\(\) got an unexpected keyword argument 'sise'; did you mean 'size'"):
        make(sise=64)
    with pytest.raises(ValueError, match=r"crop = 7: at least"):
        make(crop=7)


@pytest.mark.parametrize("make", STREAMS)
def test_options_are_shared_as_a_dictionary(make):
    options = StreamOptions(seed=5, crop=32, drop_last=True)
    assert make(**options).state_dict() == make(seed=5, crop=32, drop_last=True).state_dict()
    assert make(**options).state_dict() != make(**options | {"seed": 6}).state_dict()


PROGRAM = """
from degrade.stream import PairStream, StreamOptions
stream = PairStream("phantom:fundus", "cofe-net", batch_size=4, size=128, crop=96, hflip=True, device="cpu")
options = StreamOptions(size=64)
PairStream("phantom:fundus", "cofe-net", batch_size=4, **options)
PairStream("phantom:fundus", "cofe-net", batch_size=4, sise=3)
PairStream("phantom:fundus", "cofe-net", batch_size=4, crop="large")
for batch in stream:
    reveal_type(batch)
"""


@pytest.mark.slow
def test_mypy_checks_the_keywords_of_streams(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--no-incremental", tmp_path / "program.py", "--follow-imports=silent"]
    root = Path(__file__).parents[2]
    said = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300).stdout
    lines = [line for line in said.splitlines() if "error:" in line or "Revealed" in line]
    assert len(lines) == 3, said
    assert 'program.py:6: error: Unexpected keyword argument "sise"' in lines[0]
    assert 'program.py:7: error: Argument "crop" to "PairStream" has incompatible type "str"' in lines[1]
    assert 'Revealed type is "degrade.stream.batch.Batch"' in lines[2]
