"""Malformed images, DICOM files and tar shards: none crashes, hangs, takes much memory, or harms its neighbors."""

from __future__ import annotations

import io
import json
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import degrade
from degrade.images import image_io
from tests.cli_runs import files, run
from tests.faults.conftest import Tally
from tests.faults.damage import damaged
from tests.faults.guard import Victim
from tests.image_samples import noise

PICTURE = Image.fromarray(
    image_io.to_integer(degrade.phantom.fundus(degrade.make_keys(0, 1), 96)[0][0]).permute(1, 2, 0).numpy()
)


def coded(kind: str, picture: Image.Image = PICTURE, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def seeds() -> dict[str, bytes]:
    """Whole files of every kind."""
    grey, exif = PICTURE.convert("L"), Image.Exif()
    exif[274] = 6
    return {
        "a.png": coded("PNG", exif=exif),
        "deep.png": image_io.encode(noise(3, bits=16), "png"),
        "grey16.png": image_io.encode(noise(1, bits=16), "png"),
        "palette.png": coded("PNG", PICTURE.quantize(17)),
        "a.jpg": coded("JPEG", exif=exif),
        "progressive.jpg": coded("JPEG", progressive=True),
        "grey.jpg": coded("JPEG", grey),
        "a.webp": coded("WebP"),
        "lossless.webp": coded("WebP", lossless=True, exif=exif),
        "a.gif": coded("GIF"),
        "a.bmp": coded("BMP"),
        "a.tif": coded("TIFF"),
        "lzw.tif": coded("TIFF", compression="tiff_lzw"),
        "jpeg.tif": coded("TIFF", compression="jpeg"),
        "deep.tif": image_io.encode(noise(3, bits=16), "tiff"),
        "a.ppm": coded("PPM"),
        "a.pbm": coded("PPM", PICTURE.convert("1")),
    }


def dicoms() -> dict[str, bytes]:
    """Whole DICOM files, compressed ones too, from those that come with pydicom."""
    pydicom = pytest.importorskip("pydicom", reason="needs pydicom")
    folder = Path(pydicom.__file__).parent / "data/test_files"
    names = (
        "CT_small", "MR_small_RLE", "MR_small_jp2klossless", "MR_small_jpeg_ls_lossless", "SC_rgb_rle_2frame",
        "SC_rgb_jpeg_dcmtk", "SC_rgb_small_odd", "JPGExtended", "examples_palette", "MR_small_bigendian",
    )  # fmt: skip
    return {f"{name}.dcm": (folder / f"{name}.dcm").read_bytes() for name in names if (folder / f"{name}.dcm").exists()}


def write_damaged(folder: Path, whole: dict[str, bytes], count: int, seed: int) -> Iterator[tuple[Path, str]]:
    rng = random.Random(f"{seed} {sorted(whole)}")
    for number in range(count):
        name = rng.choice(sorted(whole))
        data, how = damaged(whole[name], rng)
        path = folder / f"{number:05d}_{'window_' if rng.random() < 0.5 else ''}{name}"
        path.write_bytes(data)
        yield path, f"number {number}, {name}, {how}, --fault-seed {seed}"
        path.unlink()


def test_damaged_images(tmp_path: Path, tally: Tally, victim: Victim, seed: int, everything: bool) -> None:
    victim.try_all("image", write_damaged(tmp_path, seeds(), 1400 if everything else 140, seed), tally)


def test_damaged_dicom_files(tmp_path: Path, tally: Tally, victim: Victim, seed: int, everything: bool) -> None:
    victim.try_all("image", write_damaged(tmp_path, dicoms(), 400 if everything else 40, seed), tally)
    victim.try_all("frames", write_damaged(tmp_path, dicoms(), 100 if everything else 10, seed + 1), tally)


def test_damaged_shards(tmp_path: Path, tally: Tally, victim: Victim, seed: int, everything: bool) -> None:
    pytest.importorskip("webdataset", reason="needs webdataset")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in seeds().items():
            member = tarfile.TarInfo(f"left/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    victim.try_all(
        "shards", write_damaged(tmp_path, {"a.tar": buffer.getvalue()}, 100 if everything else 20, seed), tally
    )


def test_hostile_shards(tmp_path: Path, tally: Tally, victim: Victim) -> None:
    pytest.importorskip("webdataset", reason="needs webdataset")
    data = coded("PNG")
    secret = tmp_path / "secret.png"
    secret.write_bytes(data)

    def archives() -> Iterator[tuple[Path, str]]:
        for number, name in enumerate(
            ("../secret.png", str(secret), "a/../../secret.png", "a\0.png", "x" * 300 + ".png")
        ):
            path = tmp_path / f"{number}.tar"
            with tarfile.open(path, "w") as archive:
                for kind in (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE):
                    member = tarfile.TarInfo(name if kind == tarfile.REGTYPE else f"link{kind!r}.png")
                    member.type, member.linkname = kind, "" if kind == tarfile.REGTYPE else name.replace("\0", "")
                    member.size = len(data) if kind == tarfile.REGTYPE else 0
                    archive.addfile(member, io.BytesIO(data))
            yield path, repr(name)

    victim.try_all("shards", archives(), tally)
    source = degrade.stream.open_source(str(tmp_path / "0.tar"))
    assert all(".." not in id_ and not id_.startswith("/") for id_ in source.ids)
    assert len(source) == 1  # links are passed over


def test_good_neighbors_are_untouched(tmp_path: Path, tally: Tally, seed: int) -> None:
    good, mixed = tmp_path / "good", tmp_path / "mixed"
    for folder in (good, mixed):
        for number in range(3):
            image_io.write(folder / f"good{number}.png", noise(3, 64, 64, seed=number))
    bad = list(seeds().items())
    rng = random.Random(seed)
    for name, data in bad:
        (mixed / f"bad_{name}").write_bytes(data[: rng.randrange(len(data) // 2)])
    run("synth", good, tmp_path / "a", "--views", 2)
    output = run("synth", mixed, tmp_path / "b", "--views", 2, "--workers", 3).output
    assert f"{len(bad)} images failed" in output
    assert len((tmp_path / "b/failed.jsonl").read_text().splitlines()) == len(bad)
    expected, got = files(tmp_path / "a"), files(tmp_path / "b")
    assert {name: data for name, data in got.items() if name != "failed.jsonl"} == expected
    run("synth", mixed, tmp_path / "c", "--views", 2, "--strict", code=1)
    for line in (tmp_path / "b/failed.jsonl").read_text().splitlines():
        tally.count("" if " " in json.loads(line)["error"] else line)


def test_a_bomb_is_refused_by_its_header(tmp_path: Path, tally: Tally, victim: Victim) -> None:
    """Small files of ten thousand million pixels, of each format that can say so."""
    huge = np.zeros((1, 1), np.uint8)
    rng = random.Random(0)

    def bombs() -> Iterator[tuple[Path, str]]:
        for name, data in seeds().items():
            for size in (10_000, 60_000, 65_535):
                changed = bytearray(data)
                for old in (96, 17, 13):
                    for width in (2, 4):
                        for order in ("big", "little"):
                            at = changed.find(old.to_bytes(width, order), 4, 200)
                            if at >= 0 and size < 256**width:
                                changed[at : at + width] = size.to_bytes(width, order)
                path = tmp_path / f"{size}_{name}"
                path.write_bytes(bytes(changed) + rng.randbytes(4) + huge.tobytes())
                yield path, f"{name} with sizes of {size}"

    victim.try_all("image", bombs(), tally)
