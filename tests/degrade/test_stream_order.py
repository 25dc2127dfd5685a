"""The order of an epoch and its division among processes, as pure functions."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from degrade.stream.order import Order, secondary_steps, share, steps

sizes = st.integers(1, 60), st.integers(1, 9), st.integers(1, 7)


def shares(total, batch_size, world_size, start=0, drop_last=False):
    """The positions of each step of each rank."""
    return [
        [share(step, batch_size, rank, world_size, drop_last) for rank in range(world_size)]
        for step in steps(total, batch_size, world_size, start, drop_last)
    ]


@given(*sizes)
def test_every_sample_once_in_the_same_number_of_steps(total, batch_size, world_size):
    made = shares(total, batch_size, world_size)
    parts = [part for step in made for part in step]
    assert all(1 <= len(part) <= batch_size for part in parts)
    counts = Counter(position for part in parts for position in part)
    assert set(counts) == set(range(total))
    repeats = sum(counts.values()) - total
    if batch_size > 1 and total >= world_size:
        assert repeats == 0
    assert repeats < world_size
    # all batches before the last two steps are whole
    assert all(len(part) == batch_size for step in made[:-2] for part in step)


@given(*sizes)
def test_drop_last_leaves_out_less_than_a_batch_and_makes_only_whole_ones(total, batch_size, world_size):
    made = shares(total, batch_size, world_size, drop_last=True)
    assert all(len(part) == batch_size for step in made for part in step)
    positions = {position for step in made for part in step for position in part}
    assert positions == set(range(total - total % batch_size))


@given(*sizes, st.integers(0, 60), st.integers(1, 7), st.booleans())
def test_another_number_of_processes_can_go_on_from_any_step(total, batch_size, world_size, stop, other, drop_last):
    plan = steps(total, batch_size, world_size, 0, drop_last)
    done = plan[: stop % (len(plan) + 1)]
    start = done[-1].stop if done else 0
    rest = steps(total, batch_size, other, start, drop_last)
    assert [position for step in [*done, *rest] for position in step] == [p for step in plan for p in step]


@given(st.integers(1, 50), st.integers(1, 6), st.integers(1, 6), st.integers(1, 4))
def test_the_second_source_of_a_mixed_epoch_does_not_depend_on_the_processes(total, batch_size, second, world_size):
    needed = -(-total // batch_size) * second
    count = len(steps(total, batch_size, world_size, 0, False))
    positions = [position for step in secondary_steps(needed, second * world_size, 0, count) for position in step]
    assert positions == list(range(needed))


@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 5), st.integers(0, 5))
def test_an_order_is_a_permutation_with_its_patches_together(images, patches, seed, epoch):
    order = Order(images, patches, seed, epoch, "pairs", shuffle=True)
    places = [order[position] for position in range(2 * len(order))]
    for number in (0, 1):
        part = places[number * len(order) : (number + 1) * len(order)]
        assert {(place.index, place.patch) for place in part} == {(i, p) for i in range(images) for p in range(patches)}
        assert [place.patch for place in part] == list(range(patches)) * images
        assert {place.round for place in part} == {number}


def test_epochs_rounds_names_and_seeds_are_shuffled_differently():
    def first(seed=0, epoch=0, name="a", start=0, shuffle=True):
        order = Order(30, 1, seed, epoch, name, shuffle)
        return tuple(order[start + position].index for position in range(30))

    assert len({first(), first(seed=1), first(epoch=1), first(name="b"), first(start=30)}) == 5
    assert first() == first()
    assert first(shuffle=False) == tuple(range(30))


def test_each_image_is_equally_often_first():
    first = Counter(Order(5, 1, 0, epoch, "pairs", shuffle=True)[0].index for epoch in range(2000))
    statistic = sum((first[image] - 400) ** 2 / 400 for image in range(5))
    assert statistic < 23.5  # chi-square with 4 degrees of freedom: 1e-4
    fixed = Counter(Order(5, 1, 0, 0, "pairs", shuffle=True)[0].index for _ in range(2000))
    assert sum((fixed[image] - 400) ** 2 / 400 for image in range(5)) > 23.5  # what forgetting the epoch would give


@pytest.mark.parametrize(("total", "expected"), [(9, [[[0, 1, 2, 3], [4, 5, 6, 7]], [[8], [8]]])])
def test_one_sample_left_for_two_processes_borrows_from_the_step_before(total, expected):
    assert shares(total, 4, 2) != expected  # a sample of its own for each instead
    assert shares(total, 4, 2) == [[[0, 1, 2], [3, 4, 5, 6]], [[7], [8]]]
