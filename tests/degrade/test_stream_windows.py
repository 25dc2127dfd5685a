"""Windows of a stream are those of the degraded photograph, where a recipe's lengths refer to the photograph."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import degrade
from degrade.stream import MixedStream, PairStream, UnpairedStream
from degrade.stream import whole as module

EYES = degrade.phantom.fundus(degrade.make_keys(0, 5), 96)[0]
CROP = 48


def places(stream: Any, lane: int, ids: list[str]) -> list[Any]:
    return list(stream._lanes[lane]._geometry.draw(degrade.make_keys(0, ids)))


def window(image: Tensor, how: Any) -> Tensor:
    """The window of an image (..., H, W) as it was before it was mirrored, mirrored."""
    room = image.shape[-1] - CROP + 1
    top, left = int(how.top * room), int(how.left * room)
    image = image[..., top : top + CROP, left : left + CROP]
    image = image.flip(-2) if how.vertical else image
    return image.flip(-1) if how.horizontal else image


@pytest.mark.parametrize("recipe", ["cofe-net", "cataract"])
@pytest.mark.parametrize("views", [1, 3])
def test_windows_are_those_of_the_whole(recipe: str, views: int) -> None:
    stream = PairStream(EYES, recipe, batch_size=3, views=views, crop=CROP)
    whole = {
        id_: batch.degraded[i]
        for batch in PairStream(EYES, recipe, batch_size=2, views=views)
        for i, id_ in enumerate(batch.ids)
    }
    for batch in stream:
        for i, (id_, how) in enumerate(zip(batch.ids, places(stream, 0, batch.ids), strict=True)):
            assert torch.equal(batch.clean[i], window(EYES[int(id_)], how))
            assert torch.equal(batch.degraded[i], window(whole[id_], how))


def test_mirrored_photographs_are_degraded_as_they_are_then() -> None:
    """Parameters refer to the mirrored photograph, with a window and without one."""
    recipe = degrade.recipe("cofe-net", type="111")
    stream = PairStream(EYES, recipe, batch_size=5, crop=CROP, hflip=True, vflip=True)
    (batch,) = stream
    flips = set()
    for i, (id_, how) in enumerate(zip(batch.ids, places(stream, 0, batch.ids), strict=True)):
        axes = [-2] * how.vertical + [-1] * how.horizontal
        image = EYES[int(id_)][None].flip(axes)
        whole = recipe(image, batch.keys[i : i + 1], recipe.field_of_view(EYES[int(id_)][None]).flip(axes))
        assert torch.equal(batch.degraded[i], window(whole[0].flip(axes), how))
        flips.add((how.vertical, how.horizontal))
    assert len(flips) > 1


def test_batches_and_sizes_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    def pictures(batch_size: int) -> dict[str, Tensor]:
        stream = PairStream(EYES, "pce-net", batch_size=batch_size, views=2, size=(64, 96), crop=CROP)
        return {id_: batch.degraded[i] for batch in stream for i, id_ in enumerate(batch.ids)}

    one, five = pictures(1), pictures(5)
    monkeypatch.setattr(module, "_MOST", 3 * 96 * 96)
    few = pictures(5)
    assert all(torch.equal(one[id_], five[id_]) and torch.equal(one[id_], few[id_]) for id_ in one)


def test_other_streams_do_so_too() -> None:
    low = UnpairedStream(None, EYES, batch_size=2, low_recipe="cataract", crop=CROP)
    mixed = MixedStream(EYES, "cofe-net", EYES, batch_size=2, unlabelled_size=2, crop=CROP)
    pairs = (
        (low, next(iter(low)).low, degrade.recipe("cataract")),
        (mixed, next(iter(mixed)).labelled, degrade.recipe("cofe-net")),
    )
    for stream, some, recipe in pairs:
        made = some.image if hasattr(some, "image") else some.degraded
        for i, (id_, how) in enumerate(zip(some.ids, places(stream, 0, some.ids), strict=True)):
            whole = recipe(EYES[int(id_)][None], some.keys[i : i + 1])[0]
            assert torch.equal(made[i], window(whole, how))


def test_recipes_without_a_field_of_view_degrade_the_window_alone() -> None:
    """The planted difference: with the file as the frame, the window is the image."""
    for recipe in (degrade.recipe("cofe-net", frame="image"), degrade.recipe("x-bdcnn")):
        images = EYES if 3 in recipe.channels else EYES[:, :1]
        for batch in PairStream(images, recipe, batch_size=2, crop=CROP):
            assert torch.equal(batch.degraded, recipe(batch.clean, batch.keys, batch.mask))
