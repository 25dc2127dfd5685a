"""DICOM files of several frames in a folder or a list: each frame is an image, ID_f000 and so on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from degrade.images import image_io
from degrade.stream import PairStream, open_source

pytest.importorskip("pydicom", reason="needs pydicom: pip install 'degrade-enhance[dicom]'")

from tests.degrade.test_dicom import RAMP, dicom

FRAMES = np.stack([RAMP, RAMP[::-1], RAMP // 2])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in" / "left").mkdir(parents=True)
    dicom(tmp_path / "in" / "a.dcm", RAMP)
    dicom(tmp_path / "in" / "left" / "b.DCM", RAMP, PixelData=FRAMES.tobytes(), NumberOfFrames=3)
    image_io.write(tmp_path / "in" / "c.png", torch.zeros(1, *RAMP.shape, dtype=torch.uint8))
    return tmp_path / "in"


def check(source, at):
    for number, pixels in enumerate(FRAMES):
        got = source.load(at + number)["image"][0].numpy()
        assert np.abs(got - pixels / 4095 * 65535).max() <= 1
        assert source.file(at + number).name == "b.DCM"


def test_frames_are_images(folder):
    source = open_source(folder)
    assert source.ids == ["a", "c", "left/b_f000", "left/b_f001", "left/b_f002"]
    assert [source.origin(index) for index in (0, 2, 4)] == ["a.dcm", "left/b.DCM#f000", "left/b.DCM#f002"]
    check(source, 2)
    (folder / "all.txt").write_text("left/b.DCM\na.dcm\n")
    check(open_source(folder / "all.txt"), 0)
    check(open_source([folder / "a.dcm", folder / "left" / "b.DCM"]), 1)
    check(open_source(folder / "left" / "b.DCM"), 0)
    part = source.subset(["left/b_f001"])
    assert np.abs(part.load(0)["image"][0].numpy() - FRAMES[1] / 4095 * 65535).max() <= 1


def test_frames_in_a_stream(folder):
    stream = PairStream(folder, "x-bdcnn", batch_size=5, workers=1, shuffle=False, size=64)
    (batch,) = stream
    assert batch.ids == ["a", "c", "left/b_f000", "left/b_f001", "left/b_f002"]
    assert not stream.failed
    assert len({image.numpy().tobytes() for image in batch.clean}) == 4  # a is the first frame of b


def test_ids_of_frames_stay_apart(folder):
    dicom(folder / "left" / "b_f001.dcm", RAMP)
    source = open_source(folder)
    assert len(set(source.ids)) == len(source) == 6
    assert {"left/b_f000", "left/b_f002"} < set(source.ids)


def test_absurd_numbers_of_frames_fail_by_name(folder):
    dicom(folder / "d.dcm", RAMP, NumberOfFrames=10**9)
    dicom(folder / "e.dcm", RAMP, NumberOfFrames=70_000, PixelData=bytes(70_000 * RAMP.nbytes // 4000))
    (folder / "f.dcm").write_bytes(b"nothing")
    source = open_source(folder)
    assert [id_ for id_ in source.ids if id_ in ("d", "e", "f")] == ["d", "e", "f"]
    stream = PairStream(source, "x-bdcnn", batch_size=8, size=64)
    list(stream)
    assert set(stream.failed) == {"d", "e", "f"}
