"""Sources of a thousand million images cost what is used of them; what cannot be done for them is refused."""

from __future__ import annotations

import itertools
import json
import resource
import subprocess
import sys
import time

import pytest
import torch

import degrade
from degrade.rng import keyed
from degrade.stream import PairStream, SourceError, UnpairedStream, open_source
from degrade.stream.ids import Numbered, fingerprint
from degrade.stream.order import LARGEST_SHUFFLED, Order

HUGE = "phantom:fundus?count=1000000000&size=64"


class Endless:
    """A data set that makes its images."""

    def __len__(self):
        return 10**9

    def __getitem__(self, index):
        return torch.full((3, 48, 48), index % 251, dtype=torch.uint8)


@pytest.mark.slow
def test_a_huge_source_is_opened_at_once():
    """In a process that may have four gigabytes; ids and keys of all images take ten times that."""
    code = f"""
import json, resource, sys
from degrade.stream import PairStream, open_source
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
source = open_source({HUGE!r})
first = PairStream(source.subset([source.ids[999_999_999]]), "cofe-net", batch_size=2)
whole = PairStream(source, "cofe-net", batch_size=2, shuffle=False)
batches = iter(whole)
print(json.dumps([len(source), [batch.ids for batch in first], len(whole), next(batches).ids, next(batches).ids]))
other = PairStream(source, "cofe-net", batch_size=2, shuffle=False)
other.load_state_dict(json.loads(json.dumps(whole.state_dict())))
print(json.dumps(next(iter(other)).ids))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = map(json.loads, done.stdout.splitlines())
    names = [f"fundus_{number:04d}" for number in range(6)]
    assert first == [10**9, [["fundus_999999999"]], 5 * 10**8, names[:2], names[2:4]]
    assert second == names[4:]


def test_the_pictures_do_not_depend_on_the_count():
    few, many = open_source("phantom:fundus?count=3&size=64"), open_source(HUGE)
    for index in range(3):
        one, other = few.load(index), many.load(index)
        assert all(torch.equal(one[name], other[name]) for name in one)
    image = degrade.phantom.fundus(degrade.make_keys(0, 3), 64)[0][2]
    assert torch.equal(many.load(2)["image"], degrade.images.image_io.to_integer(image))


@pytest.mark.parametrize("text", ["1e3", "1000", "1000.0", "1E3"])
def test_a_count_may_be_written_as_people_do(text):
    assert len(open_source(f"phantom:chest?count={text}&size=64")) == 1000


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("count=1e30", "at most 1,000,000,000,000"),
        ("count=" + "9" * 5000, "whole number|at most"),
        ("count=1.5", "whole number"),
        ("count=nan", "whole number"),
        ("count=inf", "whole number"),
        ("count=-1", "at least 1"),
        ("size=1e9", "at most 10,000"),
    ],
)
def test_counts_and_sizes_that_are_not_allowed(option, message):
    with pytest.raises(SourceError, match=message):
        open_source(f"phantom:fundus?{option}")


def test_other_huge_sources():
    stream = PairStream(Endless(), "cofe-net", batch_size=3, shuffle=False)
    assert next(iter(stream)).ids == ["000000", "000001", "000002"]
    assert len(stream) == 333_333_334
    pairs = UnpairedStream(Endless(), HUGE, batch_size=2, shuffle=False)
    assert next(iter(pairs)).high.ids == ["fundus_0000", "fundus_0001"]
    grey = HUGE.replace("fundus", "chest")
    maps = open_source(grey, maps={"grey": f"{grey}&seed=1"})
    assert maps.load(999_999_999)["grey"].shape == (1, 64, 64)
    one = torch.zeros(1, 3, 48, 48, dtype=torch.uint8).expand(10**6, -1, -1, -1)
    assert open_source(one).ids[999_999] == "999999"


def test_what_cannot_be_done_for_a_huge_source_is_refused():
    with pytest.raises(SourceError, match=r"1,000,000,000 images.*at most 67,108,864 can be shuffled.*shuffle=False"):
        PairStream(HUGE, "cofe-net", batch_size=2)
    with pytest.raises(SourceError, match=r"1,000,000,000 ids.*at most 67,108,864"):
        open_source(HUGE).subset(lambda id_: id_.endswith("7"))
    with pytest.raises(SourceError, match=r"at most 67,108,864"):
        open_source(HUGE, maps={"vessels": "phantom:fundus?count=3&size=64"})


@pytest.mark.parametrize("images", [1, 2, 3, 4, 5, 100, 1023, 4097])
def test_the_order_is_what_it_was(images):
    """A sort of keyed uniforms, in the order of their numbers."""
    order = Order(images, 1, 3, 2, "pairs", shuffle=True)
    for round_ in (0, 1):
        key = keyed.fold_in(keyed.fold_in(keyed.make_keys(3, 1, 2), "stream.order.pairs"), round_)
        numbers = keyed.uniforms(key, {"permutation": images})["permutation"][0]
        expected = torch.argsort(numbers, stable=True).tolist()
        assert [order[round_ * images + place].index for place in range(images)] == expected


@pytest.mark.slow
def test_a_million_images_are_shuffled_in_moments():
    begin = time.monotonic()
    order = Order(2_000_000, 1, 0, 0, "pairs", shuffle=True)
    assert {order[place].index for place in range(2_000_000)} == set(range(2_000_000))
    assert time.monotonic() - begin < 60
    assert LARGEST_SHUFFLED == 2**26


# ids that are made when they are asked for


def test_numbered_ids_are_a_sequence():
    ids, listed = Numbered("a_", 4, range(12)), [f"a_{number:04d}" for number in range(12)]
    assert ids == listed == ids
    assert listed == ids
    assert ids != listed[:-1]
    assert ids != Numbered("b_", 4, range(12))
    assert repr(ids) == repr(listed)
    assert len(repr(Numbered("a_", 4, range(10**9)))) < 200
    assert list(ids) == listed
    assert list(reversed(ids)) == listed[::-1]
    for cut in (slice(3), slice(2, 9, 3), slice(None, None, -1), slice(-3, None), slice(20, 30)):
        assert ids[cut] == listed[cut]
    assert ids[-1] == listed[-1]
    for number, id_ in enumerate(listed):
        assert ids.index(id_) == number
        assert id_ in ids
    for no in ("a_0012", "a_12", "a_00001", "b_0001", "a_", "", "a_-001", "a_٣٣٣٣", "a_0x1", 3, None):
        assert no not in ids
        with pytest.raises(ValueError, match="not in"):
            ids.index(no)
    assert Numbered("", 2, range(200))[150] == "150"
    assert "150" in Numbered("", 2, range(200))
    assert "0150" not in Numbered("", 2, range(200))
    with pytest.raises(IndexError):
        ids[12]


def test_states_name_the_ids():
    """Small sets as ever; of huge ones what the ids are made of."""
    ids = ["b", "a", "c"]
    assert fingerprint(ids) == keyed.string_id("b\na\nc")
    assert fingerprint(Numbered("a_", 4, range(3))) == keyed.string_id("a_0000\na_0001\na_0002")
    huge = [Numbered("a_", 4, range(10**9)), Numbered("b_", 4, range(10**9)), Numbered("a_", 5, range(10**9))]
    huge += [Numbered("a_", 4, range(1, 10**9)), Numbered("a_", 4, range(10**9 - 1))]
    assert len({fingerprint(one) for one in huge}) == len(huge)


def test_a_subset_by_ids_does_not_look_at_the_others():
    source = open_source(HUGE)
    some = source.subset({"fundus_0007", "fundus_999999", "no such id"})
    assert some.ids == ["fundus_0007", "fundus_999999"]
    assert some.origin(1).endswith("#999999")
    assert source.subset(source.ids[:5]).ids == [f"fundus_{number:04d}" for number in range(5)]
    assert source.subset(source.ids[:5]).subset(lambda id_: id_ > "fundus_0002").ids == ["fundus_0003", "fundus_0004"]
    with pytest.raises(SourceError, match="none of the 1000000000 ids"):
        source.subset(["nothing"])


def test_memory_is_not_taken_for_what_is_not_used():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stream = PairStream(HUGE, "cofe-net", batch_size=2, shuffle=False, patches=4, crop=32)
    for batch in itertools.islice(stream, 4):
        assert len(batch) == 2
    stream.state_dict()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes
