"""Hold out images for validation, by patient or sequence, and record the split of a run."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import msgspec

from degrade.rng import keyed
from degrade.stream import Source, SourceError
from degrade.stream.halves import halves
from degrade.stream.ids import LARGEST_LISTED
from degrade.text import TextError, parse_json, read_text, shown
from enhance.trainers.base import Sources

GROUP = (
    r"(?i)(?:^|/)(?:"
    r"((?:nih_)?\d{8})_\d{3}"  # ChestX-ray8: patient, number of the visit
    r"|(nervest\d+|ccmid)_.+"  # NerveStitcher, CCMID: frames of one video
    r"|csdi_s[\d.]+_(p\d+)[a-z]"  # CSDI: severity, patient, eye
    r"|([^/]+)[_-](?:left|right|od|os)"  # the two eyes of one person, as in EyePACS
    r")$"
)
"""Default rule: regular expression whose groups match the patient or the sequence in an id."""


Rule = str | Callable[[str], str]
"""A regular expression over ids, or a function from an id to the name of its patient or sequence."""


def group_of(id_: str, rule: Rule = GROUP) -> str:
    """Patient or sequence of an image: the text that the groups of the rule match, else the id itself.

    Args:
        id_: of the image, from its source.
        rule: regular expression, searched for anywhere in the id; without groups its whole match is used; or a
            function.

    >>> group_of("nih_00001300_000"), group_of("csdi_s2.0_p22a"), group_of("nervest1_001"), group_of("drive_01")
    ('nih_00001300', 'p22', 'nervest1', 'drive_01')
    >>> group_of("ward3_anna_2", rule="^[^_]+_([^_]+)")
    'anna'
    """
    if not isinstance(rule, str):
        return rule(id_)
    match = re.search(rule, id_)
    if match is None:
        return id_
    return "".join(part for part in match.groups() if part) or match.group()


def split(ids: Iterable[str], share: float, seed: int = 0, group: Rule = GROUP) -> tuple[list[str], list[str]]:
    """Split ids into those to train on and those to hold out; ids of a patient or sequence stay together.

    Patients and sequences are visited in an order that depends only on the seed and their names. Each is held out if
    that brings the number of images held out closer to `share` of all.

    Args:
        ids: of the images.
        share: of the images to hold out, in (0, 1).
        seed: for the choice.
        group: rule, see `group_of`.

    Returns:
        ids to train on, ids held out, both in the order of `ids`.

    Raises:
        ValueError: a share or a rule that is not allowed, or one of the two lists is empty.

    >>> split([f"nih_{patient:08d}_{visit:03d}" for patient in range(5) for visit in range(2)], share=0.2)[1]
    ['nih_00000000_000', 'nih_00000000_001']
    """
    if not 0 < share < 1:
        raise ValueError(f"share = {share}: allowed is more than 0 and less than 1")
    groups = _groups(ids, group)
    held = _chosen(groups, share, seed)
    if not held or len(held) == len(groups):
        first = next(iter(groups), "")
        raise ValueError(
            f"share = {share}: {sum(map(len, groups.values()))} images in {len(groups)} groups (such as {first!r}) "
            "cannot be split so that both sides get some: give another rule for groups, or keep nothing out"
        )
    sides: tuple[list[str], list[str]] = [], []
    for id_ in ids:
        sides[group_of(id_, group) in held].append(id_)
    return sides


def hold_out(sources: Sources, share: float, seed: int = 0, group: Rule = GROUP) -> tuple[Sources, Sources]:
    """Split the sources of a run into those to train on and those held out; arguments as for `split`.

    Good and bad images of a patient or sequence stay together, and so do the views of an image in pairs that exist.
    """
    for source in (sources.high, sources.low):
        if source is not None and len(source) > LARGEST_LISTED:
            raise ValueError(
                f"{source.title} has {len(source):,} images; at most {LARGEST_LISTED:,} can be split: keep nothing out"
            )
    of = _without_view if sources.pairs else str
    high, held_high = split(dict.fromkeys(map(of, sources.high.ids)), share, seed, group)
    inside = set(high)
    sides: tuple[list[str], list[str]] = [], []
    for id_ in sources.high.ids:
        sides[of(id_) not in inside].append(id_)
    on, out = (replace(sources, high=sources.high.subset(ids), low=None) for ids in sides)
    if sources.low is None:
        return on, out
    seen = {group_of(id_, group) for id_ in high}
    unseen = {group_of(id_, group) for id_ in held_high}
    others = {name: ids for name, ids in _groups(sources.low.ids, group).items() if name not in seen | unseen}
    unseen |= _chosen(others, share, seed)
    low = [id_ for id_ in sources.low.ids if group_of(id_, group) not in unseen]
    if not low:
        raise SourceError(f"{sources.low.title}: nothing is left to train on once held-out patients are taken away")
    return replace(on, low=sources.low.subset(low)), replace(out, low=_rest(sources.low, low))


def _without_view(id_: str) -> str:
    """The id of the image of a pair, which `degrade.pairs.PairedDataset` calls ID_v0, ID_v1, ..."""
    return re.sub(r"_v\d+$", "", id_)


def in_halves(sources: Sources, seed: int = 0, group: Rule = GROUP) -> Sources:
    """Sources whose bad images are to be made of one half of the good ones, with the halves as `low` and `high`.

    Images of a patient or sequence stay in one half. Arguments as for `split`.

    Raises:
        SourceError: fewer than two patients or sequences.
        ValueError: a rule that is not allowed.
    """
    _groups([], group)
    low, high = halves(sources.high, seed, lambda id_: group_of(id_, group))
    return replace(sources, high=high, low=low)


@dataclass(frozen=True)
class Ids:
    """Ids of good and bad images on one side of a split.

    >>> Ids(["a"], []).to_json()
    '{\\n "high": [\\n  "a"\\n ],\\n "low": []\\n}\\n'
    """

    high: list[str]
    low: list[str]

    @staticmethod
    def of(sources: Sources | None) -> Ids:
        """Ids of sources; empty for None."""
        if sources is None:
            return Ids([], [])
        return Ids(list(sources.high.ids), list(sources.low.ids) if sources.low else [])

    def to_json(self) -> str:
        """JSON text for `read_ids`."""
        return json.dumps({"high": self.high, "low": self.low}, indent=1) + "\n"


def read_ids(path: str | os.PathLike[str]) -> Ids:
    """Read a file of `Ids.to_json`, such as RUN/held_out.json.

    Raises:
        OSError: the file is missing or cannot be read.
        TextError: it is damaged; the message names the file, and the line or the field.
    """
    try:
        found = parse_json(read_text(path), _Record)
    except TextError as error:
        raise TextError(f"{os.fspath(path)!r}: {error}") from None
    return Ids(found.high, found.low)


def split_again(
    sources: Sources, held: Ids, trained: Ids | None, tested: Ids | None = None
) -> tuple[Sources, Sources | None, list[str]]:
    """Apply the split of an existing run to its sources as they are now.

    Args:
        sources: all images; the same source twice where the run has two halves of one.
        held: ids that the run holds out.
        trained: ids that it trains on; None, for runs without that record, means all others.
        tested: ids that are kept for tests, in neither of the other two.

    Returns:
        sources to train on, sources held out (None if empty), and ids of images that were added since the run began,
        which are not used.

    Raises:
        SourceError: images of the run are missing; the message lists them.
    """
    sides: list[list[Source | None]] = [[], []]
    added: list[str] = []
    for name in ("high", "low"):
        source: Source | None = getattr(sources, name)
        ids = list(source.ids) if source is not None else []
        there, outside = set(ids), set(getattr(held, name))
        aside = set() if tested is None else set(getattr(tested, name))
        inside = there - outside - aside if trained is None else set(getattr(trained, name))
        if missing := sorted((inside | outside) - there):
            title = source.title if source is not None else f"the {'good' if name == 'high' else 'bad'} images"
            raise SourceError(f"{title}: {len(missing)} images of the run are missing: {_names(missing)}")
        if source is not sources.low or source is not sources.high:
            added += [id_ for id_ in ids if id_ not in inside | outside | aside]
        for side, some in zip(sides, (inside, outside), strict=True):
            side.append(source.subset(some) if source is not None and some else None)
    if sources.low is sources.high:  # halves of one source
        known = {id_ for one in (held, trained, tested) if one is not None for id_ in (*one.high, *one.low)}
        added = [id_ for id_ in sources.high.ids if id_ not in known]
    (high, low), (held_high, held_low) = sides
    if high is None:
        raise SourceError(f"{sources.high.title}: the run trains on none of its images")
    on = replace(sources, high=high, low=low)
    return on, None if held_high is None else replace(sources, high=held_high, low=held_low), added


class _Record(msgspec.Struct):
    """Content of held_out.json and trained_on.json."""

    high: list[str]
    low: list[str]


_NAMED = 20


def _names(ids: list[str]) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(map(shown, ids[:_NAMED])) + more


def _rest(source: Source, ids: list[str]) -> Source | None:
    rest = set(source.ids) - set(ids)
    return source.subset(rest) if rest else None


def _groups(ids: Iterable[str], rule: Rule) -> dict[str, list[str]]:
    try:
        re.compile(rule if isinstance(rule, str) else "")
    except re.error as error:
        raise ValueError(f"group = {rule!r}: not a regular expression ({error})") from None
    groups: dict[str, list[str]] = {}
    for id_ in ids:
        groups.setdefault(group_of(id_, rule), []).append(id_)
    return groups


def _chosen(groups: dict[str, list[str]], share: float, seed: int) -> set[str]:
    """Names of the groups to hold out."""
    names = sorted(groups)
    keys = keyed.fold_in(keyed.make_keys(seed, names), "holdout").tolist() if names else []
    wanted = share * sum(map(len, groups.values()))
    held: set[str] = set()
    count = 0
    for _, name in sorted(zip(keys, names, strict=True)):
        if abs(count + len(groups[name]) - wanted) < abs(count - wanted):
            held.add(name)
            count += len(groups[name])
    return held
