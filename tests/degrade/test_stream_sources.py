"""Every kind of source gives the same pictures under the same ids."""

from __future__ import annotations

import io
import shutil
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

import degrade
from degrade.images import image_io
from degrade.stream import PairStream, SourceError, open_source

pytestmark = pytest.mark.filterwarnings("ignore::degrade.stream.RepeatedEpochWarning")  # on purpose here

IMAGES, VESSELS = (image_io.to_integer(images) for images in degrade.phantom.fundus(degrade.make_keys(0, 5), 64)[:2])
NAMES = ["a", "left/b", "left/c", "right/b", "right/d"]


@pytest.fixture
def folder(tmp_path):
    for name, image, vessels in zip(NAMES, IMAGES, VESSELS, strict=True):
        image_io.write(tmp_path / "images" / f"{name}.png", image)
        image_io.write(tmp_path / "vessels" / f"{name}.tif", vessels)
    (tmp_path / "images" / "notes.txt").write_text("not an image")
    (tmp_path / "images" / ".hidden.png").write_text("not an image either")
    return tmp_path


def check(source, names=NAMES, maps=()):
    assert list(source.ids) == names
    for index, image in enumerate(IMAGES):
        sample = source.load(index)
        assert torch.equal(sample["image"], image)
        assert sorted(sample) == sorted(["image", *maps])
        if "vessels" in maps:
            assert torch.equal(sample["vessels"], VESSELS[index])


def write_shard(path, names, indices, extras=()):
    with tarfile.open(path, "w") as archive:

        def add(name, data):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))

        for name, index in zip(names, indices, strict=True):
            add(f"{name}.vessels.png", image_io.encode(VESSELS[index], "png"))
            add(f"{name}.png", image_io.encode(IMAGES[index], "png"))
            add(f"{name}.json", b"{}")
        for name, data in extras:
            add(name, data)


def test_folder_list_and_paths(folder):
    source = open_source(folder / "images", maps={"vessels": folder / "vessels"})
    check(source, maps=["vessels"])
    assert source.others == 1
    listing = folder / "some.txt"
    listing.write_text("# mine\n" + "\n".join(f"images/{name}.png" for name in NAMES) + "\n\n")
    check(open_source(str(listing)), [f"images/{name}" for name in NAMES])
    check(open_source([folder / "images" / f"{name}.png" for name in NAMES]))
    assert open_source(folder / "images" / "a.png").ids == ["a"]


def test_shards(folder):
    write_shard(folder / "part-0.tar", NAMES[:2], [0, 1])
    write_shard(folder / "part-1.tar", NAMES[2:], [2, 3, 4], [("lonely.json", b"{}")])
    source = open_source(str(folder / "part-{0..1}.tar"))
    check(source, maps=["vessels"])
    check(open_source([folder / "part-0.tar", folder / "part-1.tar"]), maps=["vessels"])
    assert source.origin(3) == "part-1.tar:right/b"
    stream = PairStream(str(folder / "part-{0..1}.tar"), "cofe-net", batch_size=2, workers=2)
    files = PairStream(open_source(folder / "images"), "cofe-net", batch_size=2)
    assert [batch.ids for batch in stream] == [batch.ids for batch in files]
    assert all(torch.equal(one.degraded, two.degraded) for one, two in zip(stream, files, strict=True))


def test_the_names_of_a_shard_cannot_leave_their_folder(tmp_path):
    write_shard(tmp_path / "evil.tar", ["../../etc/passwd", "/abs/b"], [0, 1])
    source = open_source(tmp_path / "evil.tar")
    assert source.ids == ["etc/passwd", "abs/b"]
    assert torch.equal(source.load(1)["image"], IMAGES[1])
    assert [path.name for path in tmp_path.iterdir()] == ["evil.tar"]


def test_shards_that_cannot_be_used(tmp_path, monkeypatch):
    write_shard(tmp_path / "one.tar", ["a"], [0])
    write_shard(tmp_path / "two.tar", ["a"], [1])
    with pytest.raises(SourceError, match="'a' more than once"):
        open_source(str(tmp_path / "{one,two}.tar"))
    write_shard(tmp_path / "none.tar", [], [], [("a.json", b"{}")])
    with pytest.raises(SourceError, match="no images"):
        open_source(tmp_path / "none.tar")
    (tmp_path / "broken.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(SourceError, match="cannot read the shard"):
        open_source(tmp_path / "broken.tar")
    with pytest.raises(SourceError, match="No such file"):
        open_source(tmp_path / "missing.tar")
    monkeypatch.setitem(__import__("sys").modules, "webdataset.shardlists", None)
    with pytest.raises(ModuleNotFoundError, match=r"degrade-enhance\[webdataset\]"):
        open_source(tmp_path / "one.tar")


class Items:
    """A map-style data set of anything."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


PIL_IMAGES = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in IMAGES]


@pytest.mark.parametrize(
    ("items", "maps"),
    [
        (list(IMAGES), []),
        ([(image, 7) for image in IMAGES], []),
        ([image.numpy() for image in IMAGES], []),
        ([image.permute(1, 2, 0).numpy() for image in IMAGES], []),
        (PIL_IMAGES, []),
        ([(image, "label") for image in PIL_IMAGES], []),
        ([image.convert("RGBA") for image in PIL_IMAGES], []),
        (
            [{"image": i, "vessels": v[0], "label": 3, "name": "x"} for i, v in zip(IMAGES, VESSELS, strict=True)],
            ["vessels"],
        ),
    ],
    ids=["tensors", "tuples", "chw", "hwc", "pil", "pil tuples", "rgba", "mappings"],
)
def test_data_sets(items, maps):
    check(open_source(Items(items)), [f"{number:06d}" for number in range(5)], maps)


def test_tensors_and_types():
    check(open_source(IMAGES), [f"{number:06d}" for number in range(5)])
    by_type = {
        torch.uint8: IMAGES,
        torch.float32: IMAGES.to(torch.float32) / 255,
        torch.float64: IMAGES.to(torch.float64) / 255,
        torch.uint16: torch.from_numpy(IMAGES.numpy().astype(np.uint16) * 257),
    }
    cleans = {
        dtype: next(iter(PairStream(images, "cofe-net", batch_size=5))).clean for dtype, images in by_type.items()
    }
    assert all(torch.equal(clean, cleans[torch.uint8]) for clean in cleans.values())


def test_grey_among_colour_and_colour_among_grey(tmp_path):
    grey = degrade.phantom.chest(degrade.make_keys(0, 2), 64)[0]
    image_io.write(tmp_path / "a.png", image_io.to_integer(grey[0]))
    image_io.write(tmp_path / "b.png", image_io.to_integer(grey[1]).expand(3, -1, -1))  # grey stored as colour
    batch = next(iter(PairStream(tmp_path, "x-bdcnn", batch_size=2)))
    assert batch.clean.shape == (2, 1, 64, 64)
    image_io.write(tmp_path / "0.png", IMAGES[0])  # now the first one is colour
    batch = next(iter(PairStream(tmp_path, "cofe-net", batch_size=3)))
    assert batch.clean.shape == (3, 3, 64, 64)
    (tmp_path / "0.png").rename(tmp_path / "c.png")
    stream = PairStream(tmp_path, "x-bdcnn", batch_size=3)
    assert len(list(stream)) == 1
    assert "colour" in stream.failed["c"]


def test_maps_must_fit(folder):
    (folder / "vessels" / "left" / "b.tif").unlink()
    with pytest.raises(SourceError, match=r"'vessels' .* lacks 1 of the 5 ids .*'left/b' first.*subset"):
        open_source(folder / "images", maps={"vessels": folder / "vessels"})
    vessels = open_source(folder / "vessels")
    some = open_source(open_source(folder / "images").subset(vessels.ids), maps={"vessels": vessels})
    assert len(some) == 4
    with pytest.raises(SourceError, match="none of the 5 ids"):
        open_source(folder / "images").subset([])
    with pytest.raises(SourceError, match="'image' is the image itself"):
        open_source(folder / "images", maps={"image": vessels})
    image_io.write(folder / "vessels" / "a.tif", VESSELS[0][:, :32])
    stream = PairStream(some, "cofe-net", batch_size=4)
    assert len(list(stream)) == 1
    file = str(folder / "vessels" / "a.tif")
    assert stream.failed == {"a": f"its map 'vessels' is 64 x 32 pixels, the image 64 x 64: {file!r}"}


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("nowhere/at/all", "'nowhere/at/all' does not exist"),
        ([], "the list of images is empty"),
        (torch.zeros(3, 64, 64), r"\(N, C, H, W\)"),
        (torch.zeros(0, 3, 64, 64), r"\(N, C, H, W\)"),
        (Items([]), "Items is empty"),
        (5, "got int"),
        ("phantom:fundos", "did you mean fundus"),
        ("phantom:fundus?count=0", "count=0: at least 1"),
        ("phantom:fundus?sise=64", "did you mean size"),
        ("phantom:fundus?size=big", "whole number"),
    ],
)
def test_what_is_no_source_is_said(where, message):
    with pytest.raises(SourceError, match=message):
        PairStream(where, "cofe-net", batch_size=2)


def test_a_data_set_of_pairs_is_not_one_source(tmp_path, folder):
    """Clean images, degraded ones and masks would be taken for images of one kind."""
    pairs, alone = tmp_path.parent / f"{tmp_path.name}_pairs", len(open_source(folder))
    for part in ("clean", "degraded"):
        shutil.copytree(folder, pairs / part)
    assert len(open_source(pairs)) == 2 * alone  # anybody's folders
    (pairs / "manifest.jsonl").touch()
    with pytest.raises(SourceError, match=r"holds pairs.*give one of its folders.*clean"):
        open_source(pairs)
    assert len(open_source(pairs / "degraded")) == alone


def test_an_empty_folder_says_what_it_looked_for(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(SourceError, match=r"holds no images \(1 other files\); looked for .*\.png"):
        PairStream(tmp_path, "cofe-net", batch_size=2)
