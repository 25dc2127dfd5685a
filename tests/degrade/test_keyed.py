"""Keys and Philox: the published vectors, independence of batch and order, uniformity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import degrade
from degrade.rng import keyed
from degrade.rng.keyed import fold_in, make_keys, normals, philox, uniforms, view_keys, words

# counter, key, output: the known answers for philox4x32-10 that come with the authors' Random123 library
VECTORS = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]

PINNED_NAMES = [1743721263234417191, 9176149005657530902]
PINNED_NUMBERS = [-1865213410658671329, -6657205717504380492, -532373638713301666]
PINNED_UNIFORM = 0.6829758549574763

int64s = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize(("counter", "key", "output"), VECTORS)
def test_published_vectors(backend: str, counter: list[int], key: list[int], output: list[int]) -> None:
    tensors = [torch.tensor([word]) for word in (*counter, *key)]
    with degrade.backend(backend):
        assert [int(word) for word in philox(*tensors)] == output


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_keys_are_pinned(backend: str) -> None:
    """Data sets are made again from their seed: these numbers may never change."""
    with degrade.backend(backend):
        assert make_keys(0, ["left/drive_01", "right/drive_01"]).tolist() == PINNED_NAMES
        assert make_keys(7, torch.tensor([0, 1, 2**40]), epoch=3, view=2).tolist() == PINNED_NUMBERS
        assert uniforms(make_keys(0, 1), {"brightness": 1})["brightness"].item() == PINNED_UNIFORM


@settings(deadline=None)  # the first call compiles
@given(keys=st.lists(int64s, max_size=5), data=st.lists(int64s, max_size=5), counts=st.lists(st.integers(0, 9)))
def test_loops_give_the_bits_of_the_definition(keys: list[int], data: list[int], counts: list[int]) -> None:
    pytest.importorskip("numba")

    def made() -> list[torch.Tensor]:
        streams = {f"stream {number}": count for number, count in enumerate(counts)}
        mine = torch.tensor(keys, dtype=torch.int64)
        folded = fold_in(mine[:, None], torch.tensor(data, dtype=torch.int64))
        every_other = torch.stack((mine, mine), 1)[:, 0]  # not contiguous
        return [folded, fold_in(every_other, "a"), *uniforms(every_other, streams or {"one": 1}).values()]

    with degrade.backend("reference"):
        expected = made()
    for ours, theirs in zip(made(), expected, strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)


@given(seed=int64s, ids=st.lists(st.text(max_size=8), min_size=1, max_size=6), epoch=st.integers(0, 99))
def test_a_key_depends_on_its_own_id_alone(seed: int, ids: list[str], epoch: int) -> None:
    keys = make_keys(seed, ids, epoch)
    for key, name in zip(keys, ids, strict=True):
        assert key == make_keys(seed, [name], epoch)[0]
    assert len(set(keys.tolist())) == len(set(ids))


@given(seed=int64s, views=st.integers(1, 5))
def test_views(seed: int, views: int) -> None:
    ids = torch.arange(3)
    grid = view_keys(make_keys(seed, ids)[:, None], torch.arange(views))
    for view in range(views):
        assert torch.equal(grid[:, view], make_keys(seed, ids, view=view))
        assert torch.equal(grid[:, view], view_keys(make_keys(seed, ids), view))
    assert len(set(grid.flatten().tolist())) == 3 * views


def test_seed_epoch_id_and_view_are_not_interchangeable() -> None:
    keys = [
        int(make_keys(seed, torch.tensor([name]), epoch, view)[0])
        for seed in range(4)
        for name in range(4)
        for epoch in range(4)
        for view in range(4)
    ]
    assert len(set(keys)) == len(keys)


def test_streams_are_the_same_together_and_alone() -> None:
    keys = make_keys(0, 5)
    together = uniforms(keys, {"a": 3, "b": 9, "c": 1})
    for name, count in (("a", 3), ("b", 9), ("c", 1)):
        assert torch.equal(together[name], uniforms(keys, {name: count})[name])
    assert torch.equal(uniforms(keys, {"b": 4})["b"], together["b"][:, :4])


def test_uniforms_are_words() -> None:
    keys = make_keys(0, 2)
    block = torch.stack(words(keys, "a", 0, 3), dim=-1).flatten(1)
    assert torch.equal(uniforms(keys, {"a": 12})["a"] * 2.0**32, block.double())


def test_normals_do_not_depend_on_the_batch_or_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = make_keys(0, 3)
    whole = normals(keys, "pixel", (3, 33, 35))
    assert torch.equal(whole[1:2], normals(keys[1:2], "pixel", (3, 33, 35)))
    monkeypatch.setattr(keyed, "BLOCK", 100)
    assert torch.equal(whole, normals(keys, "pixel", (3, 33, 35)))


def chi_square(u: torch.Tensor, bins: int = 64) -> float:
    counts = torch.histc(u.flatten(), bins, 0, 1)
    expected = u.numel() / bins
    return float(((counts - expected) ** 2 / expected).sum())


THRESHOLD = 103.4  # 0.999 quantile of chi-square with 63 degrees of freedom: one false alarm in a thousand


def test_uniforms_are_uniform_within_a_stream_and_across_adjacent_keys() -> None:
    along = uniforms(make_keys(0, 1), {"a": 100_000})["a"]
    across = uniforms(torch.arange(100_000), {"a": 1})["a"]
    assert chi_square(along) < THRESHOLD
    assert chi_square(across) < THRESHOLD
    assert abs(float(torch.corrcoef(torch.stack([across[:-1, 0], across[1:, 0]]))[0, 1])) < 4 / 100_000**0.5
    assert chi_square(along * 0.99) > THRESHOLD  # the planted defect: one hundredth of the range is missing


def test_fold_in_takes_numbers_strings_and_tensors() -> None:
    keys = make_keys(0, 3)
    assert torch.equal(fold_in(keys, 5), fold_in(keys, torch.tensor(5)))
    assert torch.equal(fold_in(keys, -1), fold_in(keys, 2**64 - 1))
    assert not torch.equal(fold_in(keys, "a"), fold_in(keys, "b"))
    assert fold_in(keys[:, None], torch.arange(4)).shape == (3, 4)


def test_refusals() -> None:
    with pytest.raises(TypeError, match="single string"):
        make_keys(0, "drive_01")
    with pytest.raises(TypeError, match="float"):
        make_keys(0, torch.zeros(3))
    with pytest.raises(TypeError, match="int64"):
        uniforms(torch.zeros(3, dtype=torch.int32), {"a": 1})


def test_ids_seeds_and_epochs_may_be_numbers_of_any_kind():
    expected = make_keys(3, torch.tensor([5, 6]), epoch=2, view=1)
    for ids in ([5, 6], (5, 6), np.array([5, 6]), [np.int32(5), np.uint64(6)]):
        assert torch.equal(make_keys(np.int64(3), ids, epoch=np.int16(2), view=np.int8(1)), expected)
    assert torch.equal(make_keys(0, np.int64(4)), make_keys(0, 4))
    for wrong in ([1.5], [None], [True], [["a"]]):
        with pytest.raises(TypeError, match="strings or whole numbers"):
            make_keys(0, wrong)
    with pytest.raises(TypeError):
        make_keys(1.5, 2)
