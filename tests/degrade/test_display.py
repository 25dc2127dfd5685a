"""What people see of recipes and batches: HTML for notebooks, sheets of pictures, short reprs."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

import degrade
from degrade.images import image_io
from degrade.stream import MixedStream, PairStream, UnpairedStream

FUNDUS = "phantom:fundus?count=3&size=48"
OPTIONS = {"device": "cpu", "workers": 0}


class Page(HTMLParser):
    """Text of HTML whose tags must all be closed, and its images."""

    def __init__(self, html):
        super().__init__()
        self.open, self.words, self.images = [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.images.append(dict(attrs)["src"])
        elif tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def pixels(self, number):
        data = base64.b64decode(self.images[number].removeprefix("data:image/png;base64,"))
        return np.asarray(Image.open(io.BytesIO(data)))


@pytest.fixture(scope="module")
def batch():
    return next(iter(PairStream(FUNDUS, "pce-net", batch_size=3, views=2, shuffle=False, **OPTIONS)))


@pytest.mark.parametrize("name", list(degrade.RECIPES))
def test_a_recipe_is_a_table_of_its_settings(name):
    recipe = degrade.recipe(name)
    words = Page(recipe._repr_html_()).words
    assert words[0] == name
    for key, setting in recipe.settings_table.items():
        place = words.index(key)
        assert setting.meaning in words[place : place + 4]
        assert not setting.unit or words[place + 2] == setting.unit


def test_a_recipes_table_has_ranges_and_marks_what_is_changed():
    html = degrade.recipe("cofe-net", brightness=0.8, spot_count=(2, 4))._repr_html_()
    assert re.search(r"<code>brightness</code></td><td[^>]*><b>0\.8 \(fixed\)</b></td><td[^>]*>factor<", html)
    assert re.search(r"<code>spot_count</code></td><td[^>]*><b>2 to 4</b><", html)
    assert re.search(r"<code>contrast</code></td><td[^>]*>0\.6 to 1\.4<", html)
    assert html.count("<b>") == 3  # the name, and what differs from the model's defaults


def test_names_cannot_be_markup():
    recipe = degrade.recipe("x-bdcnn")
    recipe.citation = "Eyes & <script>"
    assert "Eyes &amp; &lt;script&gt;" in recipe._repr_html_()


def test_a_batch_is_pictures_with_ids_and_types(batch):
    page = Page(batch._repr_html_())
    assert len(page.images) == 3 * 3
    text = "|".join([*page.words, ""])
    for number, id_ in enumerate(batch.ids):
        assert f"|{id_}|" in text
        for view in range(2):
            words = degrade.display.type_words(int(batch.parameters["type"][number, view]))
            assert f"|view {view}: {words}|" in text
    for column, image in enumerate((batch.clean[1], *batch.degraded[1])):
        want = image_io.to_integer(image_io.resize(image, 128)).permute(1, 2, 0).numpy()
        assert np.array_equal(page.pixels(3 + column), want)


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "none"), (1, "light"), (2, "spots"), (4, "blur"), (5, "light + blur"), (7, "light + spots + blur")],
)
def test_types_are_words(code, words):
    assert degrade.display.type_words(code) == words


def test_a_sheet_has_the_pictures_where_they_belong(batch):
    sheet = np.asarray(batch.show(48))
    gap, line = 4, round(1.7 * 11)
    for row in range(3):
        for column, image in enumerate((batch.clean[row], *batch.degraded[row])):
            top, left = gap + row * (48 + line + gap), gap + column * (48 + gap)
            want = image_io.to_integer(image).permute(1, 2, 0).numpy()
            assert np.array_equal(sheet[top : top + 48, left : left + 48], want)
            assert (sheet[top + 48 : top + 48 + line, left : left + 48] < 128).any()  # a caption
    assert np.array_equal(np.asarray(degrade.show(batch, size=48)), sheet)


def test_of_many_samples_eight_are_shown_and_the_rest_counted():
    image = torch.rand(11, 1, 32, 32)
    assert degrade.show(image, size=32).size == (40, 4 + 8 * (32 + 19 + 4) + 19)
    batch = next(iter(PairStream(image, "x-bdcnn", batch_size=11, **OPTIONS)))
    page = Page(batch._repr_html_())
    assert len(page.images) == 2 * 8
    assert page.words[-1] == "and 3 more"


def test_other_batches_are_shown_too():
    low, high = FUNDUS, "phantom:fundus?count=3&size=48&seed=1"
    unpaired = next(iter(UnpairedStream(low, high, batch_size=2, **OPTIONS)))
    page = Page(unpaired._repr_html_())
    assert len(page.images) == 4
    assert f"low: {unpaired.low.ids[1]}" in page.words
    mixed = next(iter(MixedStream(low, "cofe-net", high, batch_size=2, unlabelled_size=1, **OPTIONS)))
    assert len(Page(mixed._repr_html_()).images) == 2 * 2 + 1
    assert isinstance(mixed.show(), Image.Image)
    assert isinstance(unpaired.low.show(), Image.Image)


def test_nothing_in_a_batch_stops_it_from_being_shown(batch):
    image = batch.clean.clone().requires_grad_()
    image.data[0, :, :5] = float("nan")
    image.data[1, :, :5] = 7.0
    odd = degrade.stream.Batch(image, batch.degraded, batch.mask, {}, batch.keys, ["<b>", "b" * 500, "c"])
    page = Page(odd._repr_html_())
    assert "<b>" in page.words
    assert page.pixels(0)[:8].max() == 0
    assert page.pixels(3)[:8].min() == 255
    assert odd.show(48).width == batch.show(48).width
    empty = batch[0:0]
    assert Page(empty._repr_html_()).images == []
    assert isinstance(empty.show(), Image.Image)


def test_reprs_are_short(batch):
    text = repr(batch)
    assert text.startswith("Batch(clean=float32 (3, 3, 48, 48), degraded=float32 (3, 2, 3, 48, 48), ")
    assert "ids=[fundus_0000, fundus_0001, fundus_0002]" in text
    assert f"... {len(batch.parameters)} in all]" in text
    assert len(text) < 400
    assert str(batch) == text
    unpaired = degrade.stream.UnpairedBatch(
        *[degrade.stream.Images(batch.clean, batch.mask, batch.keys, batch.ids)] * 2
    )
    assert repr(unpaired).startswith("UnpairedBatch(low=Images(image=float32 (3, 3, 48, 48), ")


def test_images_of_any_kind_are_put_side_by_side(batch):
    array = image_io.to_integer(batch.clean[0]).permute(1, 2, 0).numpy()
    columns = (Image.fromarray(array), array, batch.clean[0], batch.clean[:2], array[..., 0])
    sheet = np.asarray(degrade.show(*columns, size=48))
    assert sheet.shape == (4 + 2 * 52, 4 + 5 * 52, 3)
    for column in range(4):
        left = 4 + 52 * column
        assert np.array_equal(sheet[4:52, left : left + 48], array)
    assert np.array_equal(sheet[4:52, -52:-4], array[..., :1].repeat(3, axis=2))
    palette = Image.fromarray(array).quantize(8)
    assert degrade.show(palette).size == (204, 204)


@pytest.mark.parametrize(
    ("images", "options", "error", "message"),
    [
        ((), {}, TypeError, "show needs a batch, or at least one image"),
        (("a.png",), {}, TypeError, "image must be a Pillow picture, a NumPy array or a tensor; got str"),
        ((np.zeros((3, 40, 40)),), {}, ValueError, "ambiguous"),
        ((np.zeros((40, 40)),), {"size": 8}, ValueError, "size = 8: at least 32"),
    ],
)
def test_what_cannot_be_shown_is_refused(images, options, error, message):
    with pytest.raises(error, match=message):
        degrade.show(*images, **options)
