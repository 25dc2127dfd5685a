"""`degrade.degrade`: pictures, arrays and tensors come back as they came, degraded as streams and `synth` degrade."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import degrade
from degrade.images import image_io
from degrade.pairs import PairedDataset, synthesize
from degrade.stream import PairStream

SIDE, WIDTH = 40, 48
RECIPE = degrade.recipe("cofe-net", type="111")


@pytest.fixture(scope="module")
def photograph():
    """(3, 40, 48) float32."""
    return degrade.phantom.fundus(degrade.make_keys(0, 1), WIDTH)[0][0, :, 4:44].contiguous()


def expected(image, ids, channels=3):
    """What the recipe makes of float images (B, C, H, W)."""
    return RECIPE(image[:, :channels].contiguous(), degrade.make_keys(5, ids))


DEPTHS = {
    "uint8": lambda image: image_io.to_integer(image),
    "uint16": lambda image: image_io.to_integer(image, 16),
    "float16": lambda image: image.to(torch.float16),
    "float32": lambda image: image,
    "float64": lambda image: image.to(torch.float64),
}


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("layout", ["HW", "HWC", "BHWC", "CHW", "BCHW"])
def test_arrays_and_tensors_come_back_as_they_came(layout, depth, photograph):
    channels = 3 if "C" in layout else 1
    batch = DEPTHS[depth](torch.stack([photograph, photograph.flip(-1)])[: 2 if "B" in layout else 1, :channels])
    given = batch if "B" in layout else batch[0] if "C" in layout else batch[0, 0]
    if layout.endswith("C"):
        given = given.movedim(-3, -1)
    ids = ["left/01", "right/01"][: len(batch)]
    images = [given] if layout in ("CHW", "BCHW") else [given, given.numpy()]
    floats = image_io.to_float(batch, batch.dtype if batch.is_floating_point() else torch.float32)
    want = RECIPE(floats, degrade.make_keys(5, ids))
    if not batch.is_floating_point():
        want = image_io.to_integer(want, 16 if depth == "uint16" else 8)
    for image in images:
        before = image.clone() if isinstance(image, torch.Tensor) else image.copy()
        made, parameters = degrade.degrade(
            image, RECIPE, seed=5, id=ids if "B" in layout else ids[0], return_parameters=True
        )
        assert type(made) is type(image)
        assert made.dtype == image.dtype
        assert made.shape == image.shape
        assert bool((image == before).all())
        pixels = torch.as_tensor(made)
        pixels = pixels.movedim(-1, -3) if layout.endswith("C") else pixels
        assert torch.equal(pixels.reshape(want.shape), want)
        assert torch.equal(RECIPE.apply(floats, parameters), RECIPE(floats, degrade.make_keys(5, ids)))


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "RGBA", "I;16", "I;16B"])
def test_pillow_pictures_come_back_as_they_came(mode, photograph):
    color = Image.fromarray(image_io.to_integer(photograph).permute(1, 2, 0).numpy())
    if mode.startswith("I"):
        grey = image_io.to_integer(photograph[0], 16).numpy()
        picture = Image.frombytes(mode, (WIDTH, SIDE), grey.astype(">u2" if mode == "I;16B" else "<u2").tobytes())
    else:
        picture = color.convert(mode)
        if mode.endswith("A"):
            picture.putalpha(color.getchannel("G"))
    made = degrade.degrade(picture, RECIPE, seed=5, id="left/01")
    assert made.mode == mode
    assert made.size == picture.size
    if mode.endswith("A"):
        assert made.getchannel("A").tobytes() == color.getchannel("G").tobytes()
    pixels = degrade.images.pil.to_tensor(picture)
    want = RECIPE(image_io.to_float(pixels)[None], degrade.make_keys(5, ["left/01"]))[0]
    assert torch.equal(degrade.images.pil.to_tensor(made), image_io.to_integer(want, 8 * pixels.dtype.itemsize))


@pytest.mark.parametrize("mode", ["P", "1", "CMYK", "F"])
def test_pillow_modes_that_could_not_come_back_are_refused(mode):
    with pytest.raises(ValueError, match=f"mode {mode} cannot come back"):
        degrade.degrade(Image.new(mode, (40, 40)), RECIPE)


def test_memory_order_and_byte_order_do_not_matter(photograph):
    whole = image_io.to_integer(photograph, 16).permute(1, 2, 0).numpy()
    want = degrade.degrade(np.ascontiguousarray(whole), RECIPE)
    backwards = np.ascontiguousarray(whole[::-1])[::-1]
    frozen = whole.copy()
    frozen.flags.writeable = False
    for image in (np.asfortranarray(whole), backwards, whole.astype(">u2"), frozen):
        made = degrade.degrade(image, RECIPE)
        assert made.dtype == image.dtype
        assert np.array_equal(made, want)


def test_the_picture_is_that_of_streams_and_synth(tmp_path, photograph):
    for number, image in enumerate((photograph, photograph.flip(-1))):
        image_io.write(tmp_path / "in" / f"left/0{number}.png", image_io.to_integer(image))
    synthesize(tmp_path / "in", tmp_path / "out", RECIPE, seed=5)
    pairs = list(PairedDataset(tmp_path / "out"))
    batch = next(iter(PairStream(tmp_path / "in", RECIPE, batch_size=2, seed=5, workers=0, device="cpu")))
    assert sorted(batch.ids) == [pair.id for pair in pairs] == ["left/00", "left/01"]
    for pair in pairs:
        whole = image_io.read(tmp_path / "in" / f"{pair.id}.png")
        place = batch.ids.index(pair.id)
        assert torch.equal(degrade.degrade(image_io.to_float(whole), RECIPE, 5, pair.id), batch.degraded[place])
        assert torch.equal(degrade.degrade(whole, RECIPE, 5, pair.id), image_io.to_integer(pair.degraded))
        assert not torch.equal(degrade.degrade(whole, RECIPE, 6, pair.id), image_io.to_integer(pair.degraded))


def test_images_without_ids_are_numbered(photograph):
    both = torch.stack([photograph, photograph])
    assert torch.equal(degrade.degrade(both, RECIPE, seed=5), expected(both, 2))
    assert torch.equal(degrade.degrade(photograph, RECIPE, seed=5), expected(both[:1], 1)[0])
    assert torch.equal(degrade.degrade(photograph, RECIPE, seed=5, id=7), expected(both[:1], [7])[0])
    assert torch.equal(degrade.degrade(both, RECIPE, 5, torch.tensor([7, 2])), expected(both, [7, 2]))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((3, 40, 40)), r"\(C, H, W\), one color image.*\(B, H, W\), three grey images"),
        (np.zeros((5, 40, 40)), r"\(B, H, W\), grey images, give image\[\.\.\., None\]"),
        (torch.zeros(5, 40, 40), r"\(B, H, W\), grey images, give image\[:, None\]"),
        (np.zeros((40, 40, 4)), r"\(H, W, C\) or .*drop the alpha channel"),
        (torch.zeros(3, 40, 31), r"\(C, H, W\) or \(B, C, H, W\) .* at least 32; got shape \(3, 40, 31\)"),
        (torch.zeros(1, 1, 3, 40, 40), r"got shape \(1, 1, 3, 40, 40\)"),
        (np.full((40, 40, 3), 255.0), r"must be in \[0, 1\], got values from 255 to 255"),
        (np.full((40, 40), np.nan), r"must be in \[0, 1\]"),
    ],
)
def test_shapes_and_values_that_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        degrade.degrade(image, RECIPE)


@pytest.mark.parametrize(
    "image",
    [np.zeros((40, 40), np.int16), np.zeros((40, 40), bool), torch.zeros(3, 40, 40, dtype=torch.int32), "a.png"],
)
def test_kinds_that_are_refused(image):
    with pytest.raises(TypeError, match=r"image must be .*got (int16|bool|torch.int32|str)"):
        degrade.degrade(image, RECIPE)


@pytest.mark.parametrize("id_", ["a", 3, np.int64(3), ["a"], ["a", "b", "c"]])
def test_batches_need_an_id_per_image(id_):
    with pytest.raises(ValueError, match="id must be a list of 2 ids"):
        degrade.degrade(np.zeros((2, 40, 40, 3), np.uint8), RECIPE, id=id_)


def test_single_images_need_a_single_id():
    image = np.zeros((40, 40, 3), np.uint8)
    with pytest.raises(ValueError, match=r"id must be one name or whole number for one image; got \['a'\]"):
        degrade.degrade(image, RECIPE, id=["a"])
    with pytest.raises(TypeError, match=r"ids must be strings or whole numbers; got 1\.5"):
        degrade.degrade(image, RECIPE, id=1.5)


def test_gradients_reach_the_image(photograph):
    image = photograph.clone().requires_grad_()
    degrade.degrade(image, "cataract").sum().backward()
    assert image.grad is not None
    assert bool(image.grad.abs().sum() > 0)
