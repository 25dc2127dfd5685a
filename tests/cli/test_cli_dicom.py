"""DICOM in and out: found without a suffix, written without a patient, held out by patient."""

from __future__ import annotations

import importlib.util
import io

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cli.enhance import main
from degrade.images import dicom_write, image_io
from degrade.stream import SourceError, files, open_source
from enhance.holdout import split
from enhance.patients import by_patient
from tests.degrade.test_dicom import RAMP, dicom, pydicom

TAGS = {
    "PatientName": "Doe^Jane",
    "StudyInstanceUID": "1.2.9",
    "SOPInstanceUID": "1.2",
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1",
}
IMAGE = torch.from_numpy(RAMP.astype(np.uint16))[None]
SMALL = torch.from_numpy((RAMP // 16).astype(np.uint8))[None]


def run(*arguments, code=0):
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def archive(tmp_path):
    """Files as an archive has them: three patients, two images each, no suffixes."""
    folder = tmp_path / "archive"
    folder.mkdir()
    for number in range(6):
        dicom(folder / f"1.2.840.{number}", np.roll(RAMP, number), PatientID=f"P{number // 2}", **TAGS)
    (folder / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (folder / "notes").write_text("no image")
    (folder / "a.txt").write_bytes(b"\0" * 128 + b"DICM")
    return folder


def test_files_without_a_suffix_are_found_by_their_content(archive):
    source = open_source(archive)
    assert source.ids == [f"1.2.840.{number}" for number in range(6)]
    assert source.load(0)["image"].shape == (1, 32, 40)
    assert source.left_out == ["DICOMDIR", "a.txt", "notes"]


def test_held_out_images_are_of_other_patients(archive):
    source = open_source(archive)
    rule = by_patient([source])
    on, out = split(source.ids, 0.3, group=rule)
    assert len(out) == 2
    assert {int(id_[-1]) // 2 for id_ in out}.isdisjoint(int(id_[-1]) // 2 for id_ in on)
    assert by_patient([source], "(x)") == "(x)"  # a rule that was chosen is kept
    assert "P0" not in rule(source.ids[0])


def test_results_are_secondary_captures_without_a_patient(archive, tmp_path):
    run("apply", "identity", archive, tmp_path / "out", "--format", "dicom")
    first = tmp_path / "out" / "1.2.840.0.dcm"
    made = pydicom.dcmread(first)
    assert made.SOPClassUID.name == "Secondary Capture Image Storage"
    assert made.SOPInstanceUID not in ("1.2", "1.2.3")
    assert (made.PatientID, made.PatientName, made.PatientIdentityRemoved) == ("", "", "YES")
    assert b"Doe" not in first.read_bytes()
    assert list(made.ImageType) == ["DERIVED", "SECONDARY"]
    assert "identity" in made.DerivationDescription
    assert torch.equal(image_io.read(first), open_source(archive).load(0)["image"])
    uids = {pydicom.dcmread(file).SOPInstanceUID for file in (tmp_path / "out").glob("*.dcm")}
    assert len(uids) == 6
    before = first.read_bytes()
    run("apply", "identity", archive, tmp_path / "out", "--format", "dicom", "--overwrite")
    assert first.read_bytes() == before


def test_patient_and_study_are_kept_if_asked(archive, tmp_path):
    run("apply", "identity", archive, tmp_path / "out", "--format", "dicom", "--keep-patient")
    made = pydicom.dcmread(tmp_path / "out" / "1.2.840.4.dcm")
    assert (made.PatientID, str(made.PatientName), made.StudyInstanceUID) == ("P2", "Doe^Jane", "1.2.9")
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == "1.2"
    assert "PatientIdentityRemoved" not in made
    assert "--format dicom" in run("apply", "identity", archive, tmp_path / "x", "--keep-patient", code=2)


@pytest.mark.parametrize("image", [IMAGE, SMALL, torch.zeros(3, 5, 7, dtype=torch.uint8)])
def test_what_is_written_is_read(image, tmp_path):
    (tmp_path / "a.dcm").write_bytes(dicom_write.encode(image, "none", "a"))
    assert torch.equal(image_io.read(tmp_path / "a.dcm"), image)


def test_what_dicom_cannot_hold_is_named():
    with pytest.raises(ValueError, match="color of 8 bits"):
        dicom_write.encode(torch.zeros(3, 4, 4, dtype=torch.uint16), "none", "a")
    with pytest.raises(TypeError, match="to_integer"):
        dicom_write.encode(torch.zeros(3, 4, 4), "none", "a")
    with pytest.raises(ValueError, match="got"):
        dicom_write.encode(torch.zeros(2, 4, 4, dtype=torch.uint8), "none", "a")
    with pytest.raises(image_io.ImageError, match="no DICOM file"):
        dicom_write.encode(IMAGE, "none", "a", io.BytesIO(b"no"))


def test_a_missing_pydicom_is_said_at_once(archive, tmp_path, monkeypatch, caplog):
    find = importlib.util.find_spec
    monkeypatch.setattr(files, "find_spec", lambda name: None if name == "pydicom" else find(name))
    with pytest.raises(SourceError, match=r"has 6 DICOM files, which need pydicom: pip install"):
        open_source(archive)
    image_io.write(archive / "b.png", SMALL)
    open_source(archive)
    assert len([line for line in caplog.messages if "need pydicom" in line]) == 1
