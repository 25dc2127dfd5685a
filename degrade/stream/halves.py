"""Split a source into two halves that share no image, the same ones for the same seed."""

from __future__ import annotations

from collections.abc import Callable

from degrade.rng import keyed
from degrade.stream.ids import LARGEST_LISTED
from degrade.stream.source import Source, SourceError


def halves(source: Source, seed: int = 0, group: Callable[[str], str] = str) -> tuple[Source, Source]:
    """Two halves of a source, without an image, or a group of images, in common.

    Groups are visited in an order that depends on the seed and their names alone; each goes to the first half if that
    brings it closer to one half of the images.

    Args:
        source: at least two groups of images.
        seed: another one gives other halves.
        group: function from an id to the name of its group, such as the patient; by default each image is its own.

    Raises:
        SourceError: there are fewer than two groups, or too many images to be looked at one by one.

    >>> from degrade.stream import open_source
    >>> first, second = halves(open_source("phantom:fundus?count=5&size=64"))
    >>> sorted(first.ids + second.ids) == open_source("phantom:fundus?count=5&size=64").ids
    True
    """
    if len(source) > LARGEST_LISTED:
        raise SourceError(
            f"{source.title} has {len(source):,} images; at most {LARGEST_LISTED:,} can be split in halves"
        )
    groups: dict[str, list[str]] = {}
    for id_ in source.ids:
        groups.setdefault(group(id_), []).append(id_)
    if len(groups) < 2:
        raise SourceError(
            f"{source.title} has {len(source)} images in {len(groups)} groups: at least 2 are needed, one for each half"
        )
    names = sorted(groups)
    keys = keyed.fold_in(keyed.make_keys(seed, names), "halves").tolist()
    first: list[str] = []
    for _, name in sorted(zip(keys, names, strict=True)):
        ids = groups[name]
        if abs(2 * (len(first) + len(ids)) - len(source)) < abs(2 * len(first) - len(source)):
            first += ids
    if not first:  # the smallest group is nearly everything
        first = min(groups.values(), key=len)
    chosen = set(first)
    return source.subset(chosen), source.subset(lambda id_: id_ not in chosen)
