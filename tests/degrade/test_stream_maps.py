"""Masks and maps of zeros and ones are black and white in streams, from every kind of source."""

from __future__ import annotations

import io
import logging
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

import degrade
from degrade.images import image_io
from degrade.stream import PairStream, Source, SourceError, UnpairedStream, open_source

pytestmark = pytest.mark.filterwarnings("ignore::degrade.stream.RepeatedEpochWarning")  # on purpose here

IMAGES, VESSELS, FOV = (
    image_io.to_integer(images) for images in degrade.phantom.fundus(degrade.make_keys(0, 4), 64)[:3]
)
ONES = {"vessels": (VESSELS > 127).to(torch.uint8), "mask": (FOV > 127).to(torch.uint8)}
IDS = [f"{number:06d}" for number in range(4)]


class Items:
    """A map-style data set."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def folder(path, suffix="png"):
    for number, id_ in enumerate(IDS):
        image_io.write(path / "images" / f"{id_}.png", IMAGES[number])
        for name, maps in ONES.items():
            image_io.write(path / name / f"{id_}.{suffix}", maps[number])
    return {name: path / name for name in ONES}


def from_folder(path):
    return open_source(path / "images", maps=folder(path))


def from_tiff(path):
    return open_source(path / "images", maps=folder(path, "tif"))


def from_lists(path):
    folder(path)
    maps = {}
    for name in ("images", *ONES):
        listing = path / name / "all.txt"
        listing.write_text("\n".join(file.name for file in sorted((path / name).glob("*.png"))))
        maps[name] = str(listing)
    return open_source(maps.pop("images"), maps=maps)


def from_paths(path):
    folder(path)
    return open_source(
        sorted((path / "images").iterdir()), maps={name: sorted((path / name).iterdir()) for name in ONES}
    )


def from_shards(path):
    with tarfile.open(path / "a.tar", "w") as archive:
        for number, id_ in enumerate(IDS):
            files = {"png": IMAGES[number], **{f"{name}.png": maps[number] for name, maps in ONES.items()}}
            for ending, image in files.items():
                data = image_io.encode(image, "png")
                info = tarfile.TarInfo(f"{id_}.{ending}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return open_source(path / "a.tar")


def from_tensors(path):
    return open_source(IMAGES, maps=ONES)


def from_phantoms(path):
    source = open_source("phantom:fundus?count=4&size=64")
    return open_source(IMAGES, maps={"vessels": _Maps(source, "vessels"), "mask": _Maps(source, "fov")})


def items(change):
    return lambda path: open_source(
        Items([{"image": IMAGES[i], **{name: change(maps[i]) for name, maps in ONES.items()}} for i in range(4)])
    )


class _Maps(Source):
    """A map of another source as images."""

    def __init__(self, source, name):
        self._source, self._name, self.ids, self.title = source, name, IDS, name

    def load(self, index):
        return {"image": self._source.load(index)[self._name]}


KINDS = {
    "folder": from_folder,
    "tiff": from_tiff,
    "lists": from_lists,
    "paths": from_paths,
    "shards": from_shards,
    "tensors": from_tensors,
    "phantoms": from_phantoms,
    "uint8": items(lambda map_: map_),
    "array": items(lambda map_: map_[0].numpy()),
    "uint16": items(lambda map_: map_[0].numpy().astype(np.uint16)),
    "int64": items(lambda map_: map_.to(torch.int64)),
    "255 of 16 bits": items(lambda map_: map_[0].numpy().astype(np.uint16) * 255),
    "bool": items(lambda map_: map_ > 0),
    "float": items(lambda map_: map_.to(torch.float32)),
    "pil": items(lambda map_: Image.fromarray(map_[0].numpy())),
    "pil I": items(lambda map_: Image.fromarray(map_[0].numpy().astype(np.int32))),
    "pil 1": items(lambda map_: Image.fromarray(map_[0].numpy() * 255).convert("1")),
}
QUIET = ("phantoms", "bool", "float", "pil 1")


@pytest.mark.parametrize("kind", KINDS)
def test_zeros_and_ones_are_black_and_white(kind, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "degrade.stream"):
        stream = PairStream(KINDS[kind](tmp_path), "cofe-net", batch_size=2)
        batches = [*stream, *stream]
    for batch in batches:
        places = [IDS.index(id_) for id_ in batch.ids]
        for name, found in (("vessels", batch.maps["vessels"]), ("mask", batch.mask)):
            assert torch.equal(found, ONES[name][places].to(torch.float32)), name
        assert float(batch.degraded.mean()) > 0.05  # and not black
    said = sorted(record.getMessage() for record in caplog.records)
    if kind in QUIET:
        assert said == []
    else:
        assert [line.split(" of ")[0] for line in said] == ["map 'mask'", "map 'vessels'"]  # once each
        assert all("black and white" in line for line in said)


def test_colours_and_shapes_of_maps_are_refused_by_name():
    red = torch.zeros(4, 3, 64, 64, dtype=torch.uint8)
    red[:, 0] = 255
    with pytest.raises(SourceError, match="map 'vessels': it is a colour image"):
        PairStream(open_source(IMAGES, maps={"vessels": red}), "cofe-net", batch_size=4)


@pytest.mark.parametrize("name", ["mask", "vessels", "nerves", "lungs", "anything"])
@pytest.mark.parametrize("workers", [0, 1])
def test_every_map_follows_the_rule(name, workers):
    ones = ONES["vessels"]
    stream = PairStream(open_source(IMAGES, maps={name: ones}), "cofe-net", batch_size=4, workers=workers)
    (batch,) = stream
    found = batch.mask if name == "mask" else batch.maps[name]
    assert torch.equal(found, ones[[int(id_) for id_ in batch.ids]].to(torch.float32))
    with pytest.raises(SourceError, match=rf"map '{name}' has the levels 0, 1, 2, 3: neither black and white"):
        PairStream(open_source(IMAGES, maps={name: _labels(4)}), "cofe-net", batch_size=4, workers=workers)


def test_the_image_is_never_touched():
    dark = (IMAGES > 127).to(torch.uint8)  # 0 and 1: a photograph that is nearly black
    assert dark.max() == 1
    for batch in PairStream(dark, "cofe-net", batch_size=2):
        assert torch.equal(batch.clean, dark[[int(id_) for id_ in batch.ids]].to(torch.float32) / 255)


def test_unpaired_streams_follow_the_rule():
    low = open_source(IMAGES, maps={"mask": ONES["mask"]})
    for batch in UnpairedStream(low, IMAGES, batch_size=2):
        assert torch.equal(batch.low.mask, ONES["mask"][[int(id_) for id_ in batch.low.ids]].to(torch.float32))


def test_black_maps_stay_black():
    black = torch.zeros_like(VESSELS)
    some = ONES["vessels"].clone()
    some[0] = 0
    for maps in (black, some):
        for batch in PairStream(open_source(IMAGES, maps={"vessels": maps}), "cofe-net", batch_size=2):
            places = [int(id_) for id_ in batch.ids]
            assert torch.equal(batch.maps["vessels"], maps[places].to(torch.float32))


@pytest.mark.parametrize("workers", [0, 1])
def test_ones_behind_black_maps_are_found_and_logged_once(workers, caplog):
    """Beyond what is looked at when the stream is made: said by the process that learns of it."""
    count = 40
    maps = torch.zeros(count, 1, 64, 64, dtype=torch.uint8)
    maps[18] = ONES["vessels"][0]
    source = open_source(IMAGES[:1].repeat(count, 1, 1, 1), maps={"vessels": maps})
    with caplog.at_level(logging.INFO, "degrade.stream"):
        stream = PairStream(source, "cofe-net", batch_size=8, workers=workers)
        tables = [{id_: batch.maps["vessels"][i] for batch in stream for i, id_ in enumerate(batch.ids)}] * 2
    assert all(torch.equal(table["000018"], ONES["vessels"][0].to(torch.float32)) for table in tables)
    assert len([record for record in caplog.records if "black and white" in record.getMessage()]) == 1


def test_one_label_map_among_good_ones_is_refused_by_name():
    maps = ONES["vessels"].clone()
    maps[2] = _labels(1)
    stream = PairStream(open_source(IMAGES, maps={"vessels": maps}), "cofe-net", batch_size=4)
    (batch,) = stream
    assert list(stream.failed) == ["000002"]
    assert stream.failed["000002"].startswith("map 'vessels' has the levels 0, 1, 2, 3")
    assert "000002" not in batch.ids
    assert len(batch) == 4


def test_zeros_and_ones_among_grey_maps_are_refused():
    """A grey map that is nearly black cannot be told from a mask of zeros and ones."""
    maps = _grey(4)
    maps[1] = ONES["vessels"][1]
    stream = PairStream(open_source(IMAGES, maps={"vessels": maps}), "cofe-net", batch_size=4)
    (batch,) = stream
    assert list(stream.failed) == ["000001"]
    assert "zeros and ones" in stream.failed["000001"]
    places = [int(id_) for id_ in batch.ids]
    assert torch.equal(batch.maps["vessels"], maps[places].to(torch.float32) / 255)
    maps[0] = ONES["vessels"][0]
    with pytest.raises(SourceError, match=r"map 'vessels' of .*zeros and ones .*'000000'.* grey .*'00000[23]'"):
        PairStream(open_source(IMAGES, maps={"vessels": maps}), "cofe-net", batch_size=4)


def test_a_grey_map_among_zeros_and_ones_is_refused():
    count = 40
    maps = ONES["vessels"][:1].repeat(count, 1, 1, 1)
    maps[18] = _grey(1)
    source = open_source(IMAGES[:1].repeat(count, 1, 1, 1), maps={"vessels": maps})
    stream = PairStream(source, "cofe-net", batch_size=8)
    assert all(bool(((batch.maps["vessels"] == 0) | (batch.maps["vessels"] == 1)).all()) for batch in stream)
    assert list(stream.failed) == ["000018"]
    assert "grey" in stream.failed["000018"]


def test_grey_and_compressed_maps_pass_as_they_are():
    buffer = io.BytesIO()
    Image.fromarray(VESSELS[0, 0].numpy()).save(buffer, "JPEG", quality=80)
    maps = image_io.read_bytes(buffer.getvalue())[None].repeat(4, 1, 1, 1)
    stream = PairStream(open_source(IMAGES, maps={"vessels": maps}), "cofe-net", batch_size=4)
    (batch,) = stream
    assert torch.equal(batch.maps["vessels"], maps.to(torch.float32) / 255)
    assert not stream.failed


def _labels(count):
    return (torch.arange(64 * 64) % 4).to(torch.uint8).reshape(1, 1, 64, 64).repeat(count, 1, 1, 1)


def _grey(count):
    return (torch.arange(64 * 64) % 256).to(torch.uint8).reshape(1, 1, 64, 64).repeat(count, 1, 1, 1)
