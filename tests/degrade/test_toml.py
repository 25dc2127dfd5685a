"""Writing TOML: what is written is read back equal, and comments stand where they should."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from degrade import toml
from degrade.text import parse_toml

TEXT = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    ['a"""\\n\n', "x\r\ny\n", "\n\nlead", 'end"\n"', "a\x7fb", "tab\t", "\\", '"', "'''", "one\rtwo", "# no comment"]
)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.booleans() | NUMBERS | TEXT
VALUES = PLAIN | st.lists(PLAIN, max_size=4)


@given(st.dictionaries(TEXT.filter(bool), VALUES | st.dictionaries(TEXT.filter(bool), VALUES, max_size=3), max_size=5))
def test_what_is_written_is_read_back(values):
    assert tomllib.loads(toml.write(values)) == values


@given(
    st.lists(st.tuples(st.text("abc_-", min_size=1), PLAIN, st.text("xyz \n")), max_size=5, unique_by=lambda e: e[0])
)
def test_comments_change_no_value(entries):
    text = toml.commented(entries, "two\nlines")
    assert tomllib.loads(text) == {name: value for name, value, _ in entries}
    assert text.startswith("# two\n# lines\n")


def test_the_layout_of_a_recipe():
    entries = [("recipe", "cofe-net", ""), ("type", "random", "which act"), ("brightness", (0.7, 1.2), "[factor] mean")]
    assert toml.commented(entries, "Shen et al.\nTMI 2021") == (
        '# Shen et al.\n# TMI 2021\nrecipe = "cofe-net"\n\n# which act\ntype = "random"\n\n'
        "# [factor] mean\nbrightness = [0.7, 1.2]\n"
    )


def test_tables_and_their_comments():
    values = {"a": 1, "synth": {"seed": 0, "views": 4}, "b": "x"}
    text = toml.write(values, {"synth.views": "degraded copies of each image", "a": "first"})
    assert text == '# first\na = 1\nb = "x"\n\n[synth]\nseed = 0\n# degraded copies of each image\nviews = 4\n'


def test_text_of_several_lines_stays_readable():
    text = toml.write({"config": {"recipe": "# one\ntwo = 2\n"}})
    assert text == '[config]\nrecipe = """\n# one\ntwo = 2\n"""\n'
    assert parse_toml(text) == {"config": {"recipe": "# one\ntwo = 2\n"}}


def test_none_and_what_has_no_type():
    assert toml.write({"crop": None, "sizes": (None, 3)}) == 'crop = "none"\nsizes = ["none", 3]\n'
    with pytest.raises(TypeError, match="object cannot be written"):
        toml.write({"a": object()})
