"""Streams, training and `enhance apply` on photographs that are cropped to their field of view on the fly."""

from __future__ import annotations

import json

import pytest
import torch

from degrade import fov
from degrade.images import image_io
from degrade.pairs.preparation import prepare
from degrade.stream import MixedStream, PairStream, UnpairedStream, open_source
from degrade.stream.arrays import DatasetSource
from enhance.inference import enhance_image
from tests.cli.test_cli_train import enhance, train
from tests.degrade.test_prepare import BATCH, DISK, write_photographs

PCE = [
    *("--set", "width=4", "--set", "views=2", "--set", "batch_size=1", "--set", "size=64", "--set", "crop=none"),
    *("--devices", "cpu", "--workers", "0", "--steps", "1"),
]
ITEMS = [{"image": i, "mask": m, "vessels": m} for i, m in zip(*BATCH, strict=True)]
DISKS = [{"image": i, "mask": m, "vessels": m} for i, m in zip(DISK[0], DISK[2], strict=True)]


def pictures(stream):
    return {
        id_: (batch.clean[n], batch.degraded[n], batch.mask[n], batch.maps["vessels"][n])
        for batch in stream
        for n, id_ in enumerate(batch.ids)
    }


@pytest.mark.parametrize("options", [{"size": 48}, {"size": (48, 80), "crop": 40, "hflip": True, "vflip": True}])
def test_borders_change_no_picture(options):
    made = pictures(PairStream(DatasetSource(ITEMS), "cofe-net", batch_size=1, prepare="fov", **options))
    alone = pictures(PairStream(DatasetSource(DISKS), "cofe-net", batch_size=3, prepare="fov", workers=1, **options))
    assert made.keys() == alone.keys()
    for id_ in made:
        for one, other in zip(made[id_], alone[id_], strict=True):
            assert torch.allclose(one, other, atol=1e-5)
    plain = pictures(PairStream(DatasetSource(ITEMS), "cofe-net", batch_size=1, **options))
    assert not any(torch.allclose(made[id_][0], plain[id_][0], atol=0.01) for id_ in made)


def test_it_is_what_is_written_to_disk(tmp_path):
    source = write_photographs(tmp_path / "raw")
    prepare(source, tmp_path / "out", size=48)
    stored = open_source(tmp_path / "out/images", maps={"mask": tmp_path / "out/masks"})
    written = next(iter(PairStream(stored, "cofe-net", batch_size=3, shuffle=False)))
    made = next(iter(PairStream(source, "cofe-net", batch_size=3, shuffle=False, prepare="fov", size=48)))
    assert made.ids == written.ids
    assert torch.equal(made.mask, written.mask)
    assert (made.clean - written.clean).abs().max() <= 0.5 / 255 + 1e-6


def test_all_streams_take_it():
    raw = open_source(BATCH[0])
    unpaired = next(iter(UnpairedStream(raw, raw, batch_size=3, prepare="fov", size=40)))
    assert unpaired.low.image.shape == (3, 3, 40, 40)
    assert 0.5 < float(unpaired.low.mask.mean()) < 0.9  # a disk that touches the frame
    mixed = next(iter(MixedStream(raw, "cofe-net", raw, batch_size=2, unlabelled_size=1, prepare="fov", size=40)))
    assert mixed.labelled.clean.shape == (2, 3, 40, 40)
    for options in ({"prepare": "fov"}, {"prepare": "disk", "size": 40}):
        with pytest.raises(ValueError, match=r"prepare = .*: allowed is None, or 'fov' with a size"):
            PairStream(raw, "cofe-net", batch_size=1, **options)


class Invert:
    """An enhancer of which it can be told where it has been."""

    seen: torch.Tensor

    def enhance(self, image, mask=None):
        self.seen = image
        return 1 - image


@pytest.mark.parametrize("size", [None, 32])
def test_an_image_is_enhanced_within_its_field_of_view(size):
    image, mask = (x[1] for x in BATCH)
    invert = Invert()
    made = enhance_image(invert, image, field_of_view=mask[None], size=size, prepare="fov")
    square, _, where = fov.crop(image[None], mask[None], size)
    assert torch.equal(invert.seen, square)
    assert made.shape == image.shape
    inside = mask[0] > 0.5
    assert torch.equal(made[:, ~inside], image[:, ~inside])
    wanted = 1 - image if size is None else fov.uncrop(1 - square, where)[0]
    assert torch.allclose(made[:, inside], wanted[:, inside], atol=1e-6)
    with pytest.raises(ValueError, match="prepare = 'disk'"):
        enhance_image(invert, image, prepare="disk")


def test_the_commands(tmp_path):
    source = write_photographs(tmp_path / "raw")
    for number in range(3, 5):
        image_io.write(source / "sub" / f"eye{number}.png", image_io.to_integer(BATCH[0][0].roll(number, -1)))
    train("pcenet", source, "--prepare", "fov", "--out", tmp_path / "run", *PCE)
    assert 'prepare = "fov"' in (tmp_path / "run/run.toml").read_text()
    rows = image_io.read(next((tmp_path / "run/samples").iterdir()))
    assert rows.shape[-1] == 3 * 192 + 4 * 6  # the held-out image, prepared too: three squares and gaps
    said = train("--resume", "--out", tmp_path / "run", "--prepare", "none", code=2)
    assert "the preparation of a run never changes" in said
    enhance("apply", tmp_path / "run", source, tmp_path / "made", "--prepare", "fov", "--size", 64, "--device", "cpu")
    raw, made = (image_io.read(folder / "sub/eye1.png") for folder in (source, tmp_path / "made"))
    assert made.shape == raw.shape
    outside = BATCH[1][1][0] < 0.5
    outside &= fov.estimate(image_io.to_float(raw)[None])[0, 0] < 0.5
    assert torch.equal(made[:, outside], raw[:, outside])
    assert not torch.equal(made, raw)


def test_evaluation_crops_as_streams_do(tmp_path):
    """Borders change no number: of degraded images, of real ones with references, and of pairs that exist."""
    raw, alone = tmp_path / "raw", tmp_path / "alone"
    for folder, images, masks in ((raw, *BATCH), (alone, DISK[0], DISK[2])):
        for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
            write(folder / "high", number, image)
            write(folder / "low", number, image / 2)
            write(folder / "fov", number, mask)
    rows = []
    for folder in (raw, alone):
        for source, more in (
            (folder / "high", ["--recipe", "cofe-net"]),
            (folder / "low", ["--reference", folder / "high"]),
            (f"pairs:{folder / 'low'},{folder / 'high'}", []),
        ):
            given = ["--masks", folder / "fov", "--prepare", "fov", "--size", 48, "--device", "cpu", *more]
            enhance("evaluate", "identity", source, *given, "--json", tmp_path / "t.json")
            rows.append(json.loads((tmp_path / "t.json").read_text())["values"]["degraded"])
    for with_border, without in zip(rows[:3], rows[3:], strict=True):
        assert with_border["PSNR"] == pytest.approx(without["PSNR"], abs=1e-3)
        assert with_border["entropy"] == pytest.approx(without["entropy"], abs=1e-3)
    assert rows[1]["PSNR"] == pytest.approx(rows[2]["PSNR"], abs=1e-3)
    said = enhance("evaluate", "identity", raw / "high", "--prepare", "fov", "--device", "cpu", code=2)
    assert "--prepare fov needs --size" in said


def write(folder, number, image):
    image_io.write(folder / f"eye{number}.png", image_io.to_integer(image))
