"""Options that all streams share: their names, types, defaults and meanings, listed once."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict, cast, get_type_hints

import torch


@dataclass(frozen=True)
class Option:
    """Default and meaning of an option."""

    default: Any
    meaning: str


class StreamOptions(TypedDict, total=False):
    """Keyword arguments of `PairStream`, `UnpairedStream` and `MixedStream` beside their own.

    Streams take them one by one: `PairStream(source, recipe, batch_size=4, size=128)`; editors complete them and mypy
    checks them. To share them among streams, make a dictionary of them and unpack it.

    >>> from degrade.stream import PairStream
    >>> options = StreamOptions(size=64, hflip=True, seed=3)
    >>> train = PairStream("phantom:fundus?count=6&size=96", "cofe-net", batch_size=2, **options)
    >>> test = PairStream("phantom:fundus?count=2&size=96", "cofe-net", batch_size=2, **options | {"hflip": False})
    >>> len(train), len(test)
    (3, 1)
    """

    size: Annotated[
        int | tuple[int, int] | None,
        Option(None, "side of the square that images are fitted into, pixels; a pair is drawn from, ends included"),
    ]
    prepare: Annotated[
        Literal["fov"] | None,
        Option(None, "fov crops whole photographs to the square around their field of view before they get `size`"),
    ]
    crop: Annotated[int | None, Option(None, "side of a square window at a random place, pixels")]
    hflip: Annotated[bool, Option(False, "mirror left to right with probability 1/2")]
    vflip: Annotated[bool, Option(False, "mirror top to bottom with probability 1/2")]
    brightness_jitter: Annotated[
        float, Option(0.0, "of the good image: factor of all levels, up to so much below and above 1")
    ]
    contrast_jitter: Annotated[
        float, Option(0.0, "of the good image: factor of the distance from its mean level, likewise")
    ]
    color_jitter: Annotated[float, Option(0.0, "of the good image: factor of the distance from grey, likewise")]
    seed: Annotated[int, Option(0, "seed of everything random: order, geometry, degradations")]
    workers: Annotated[int, Option(0, "processes that decode images; 0 decodes in this process")]
    device: Annotated[str | torch.device, Option("cpu", "device on which batches are made")]
    rank: Annotated[int | None, Option(None, "number of this process; None takes that of torch.distributed")]
    world_size: Annotated[int | None, Option(None, "number of processes; given together with rank")]
    drop_last: Annotated[bool, Option(False, "leave out the samples beyond the last whole batch of an epoch")]
    shuffle: Annotated[bool, Option(True, "another order in each epoch; False keeps the order of the source")]
    cache_bytes: Annotated[int, Option(0, "bytes of decoded images that are kept for later epochs")]


def option_table() -> dict[str, Option]:
    """Default and meaning of each option, by name, in the order of `StreamOptions`.

    >>> option_table()["crop"].meaning
    'side of a square window at a random place, pixels'
    """
    hints = get_type_hints(StreamOptions, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items()}


def with_defaults(owner: str, options: StreamOptions) -> StreamOptions:
    """All options: those given, and the defaults of the others.

    Args:
        owner: class that was called, for the message.
        options: the keyword arguments it was given.

    Raises:
        TypeError: one of them is no option.
    """
    table = option_table()
    for name in options:
        if name not in table:
            close = difflib.get_close_matches(name, table, n=1)
            meant = f"; did you mean {close[0]!r}?" if close else ""
            raise TypeError(f"{owner}() got an unexpected keyword argument {name!r}{meant}")
    complete = cast(StreamOptions, {name: option.default for name, option in table.items()})
    return {**complete, **options}
