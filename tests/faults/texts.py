"""Seeded hostile values and documents: JSON, TOML, lists and metadata."""

from __future__ import annotations

import json
import random
from typing import Any

HOSTILE: tuple[str, ...] = (
    "1" * 400, "-" + "9" * 5000, "1e400", "-1e400", "1e308", "1e-320", "NaN", "Infinity", "-Infinity", "null", "true",
    '""', '"\\u0000"', '"\\ud800"', '"' + "a" * 5000 + '"', "[]", "{}", "[[]]", "[1, [2, 3]]", '["1", 2]',
    "[" * 1000 + "]" * 1000, '{"a": ' * 1000 + "1" + "}" * 1000, "-1", "0", "1e23", "9007199254740993",
    "9223372036854775807", "9223372036854775808", '"../../etc/passwd"', '"/etc/passwd"', "[0]", '{"a": 1}',
    "0.1.2", "'", "1_000", "0x" + "f" * 40, "1979-05-27", "inf", "nan", "+inf", "[1e6, 1e6, 1e6]", "[0.5, 1e999]",
    str([1.0] * 500), '"' + "9" * 400 + '"', '"1e23"', '"none"', '"a|b"', "2.5", "[1, 0]",
)  # fmt: skip
"""Texts that stand where a value should: of JSON, of TOML, of both, or of neither."""


def changed_json(document: Any, rng: random.Random) -> str:
    """A document as JSON text with a hostile value in one place, or a name missing, doubled or strange."""
    marker = "@@"
    copy = json.loads(json.dumps(document))
    where, name = _pick(copy, rng)
    kind = rng.choice(["value", "value", "value", "missing", "renamed", "nested"])
    if kind == "missing":
        del where[name]
        return json.dumps(copy)
    if kind == "renamed" and isinstance(where, dict):
        where[rng.choice(["", "\0", "x" * 3000, "type", "__class__", "noise_key"])] = where.pop(name)
        return json.dumps(copy)
    if kind == "nested":
        where[name] = [document]
        return json.dumps(copy)
    where[name] = marker
    return json.dumps(copy).replace(f'"{marker}"', rng.choice(HOSTILE), 1)


def changed_toml(text: str, rng: random.Random) -> str:
    """TOML with a hostile value for one of its settings, or a line doubled, lost or strange."""
    lines = text.splitlines()
    settings = [number for number, line in enumerate(lines) if "=" in line and not line.startswith("#")]
    at = rng.choice(settings)
    kind = rng.choice(["value", "value", "value", "double", "lose", "name", "table"])
    if kind == "value":
        lines[at] = f"{lines[at].split('=')[0]}= {rng.choice(HOSTILE)}"
    elif kind == "double":
        lines.append(lines[at])
    elif kind == "lose":
        del lines[at]
    elif kind == "name":
        lines[at] = f"{rng.choice(['a' * 3000, 'a.' * 900 + 'b', '<>', '__init__', 'name'])} = {rng.choice(HOSTILE)}"
    else:
        lines.insert(at, rng.choice(["[config]", "[[recipe]]", "[synth]", "[", "[" + ".".join("a" * 900) + "]"]))
    return "\n".join(lines) + "\n"


def _pick(document: Any, rng: random.Random) -> tuple[Any, Any]:
    """A container somewhere in the document, and the name or number of one of its entries."""
    while True:
        names = list(document) if isinstance(document, dict) else range(len(document))
        name = rng.choice(list(names))
        inner = document[name]
        if not isinstance(inner, (dict, list)) or not inner or rng.random() < 0.3:
            return document, name
        document = inner
