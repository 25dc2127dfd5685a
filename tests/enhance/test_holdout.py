"""Images kept out of training, by patient and sequence."""

from __future__ import annotations

from pathlib import Path

import pytest

from degrade.stream import open_source
from enhance.holdout import group_of, hold_out, split
from enhance.trainers import Sources


class TestHoldOut:
    def test_groups(self):
        expected = {
            "nih_00001300_000": "nih_00001300",
            "sub/00001300_012": "00001300",
            "csdi_s10.0_p22a": "p22",
            "csdi_s2.0_cataract_056": "csdi_s2.0_cataract_056",
            "nervest2_shOD133": "nervest2",
            "ccmid_zxOS1": "ccmid",
            "10_left": "10",
            "drive_01": "drive_01",
            "chest_0001": "chest_0001",
            "hrf_13_g": "hrf_13_g",
        }
        assert {id_: group_of(id_) for id_ in expected} == expected

    def test_no_patient_on_both_sides(self):
        ids = [f"nih_{patient:08d}_{visit:03d}" for patient in range(40) for visit in range(1 + patient % 4)]
        kept, held = split(ids, 0.2)
        assert sorted(kept + held) == sorted(ids)
        assert not {group_of(id_) for id_ in kept} & {group_of(id_) for id_ in held}
        assert abs(len(held) - 0.2 * len(ids)) <= 2
        assert split(list(reversed(ids)), 0.2)[1] == held[::-1]
        assert split(ids, 0.2, seed=1)[1] != held

    def test_one_group_is_refused(self):
        with pytest.raises(ValueError, match="another rule for groups"):
            split(["nervest1_001", "nervest1_002"], 0.2)
        with pytest.raises(ValueError, match="not a regular expression"):
            split(["a", "b"], 0.2, group="(")

    def test_low_images_of_a_held_out_patient_are_held_out(self):
        high = open_source("phantom:fundus?count=10&size=32")
        low = open_source("phantom:fundus?count=20&size=32&seed=1")  # ids 0 to 9 are those of `high`
        trained, held = hold_out(Sources(high, low), 0.2)
        assert set(held.high.ids) <= set(held.low.ids)
        assert set(trained.high.ids) <= set(trained.low.ids)
        assert len(held.low) == 4
        assert not set(trained.low.ids) & set(held.low.ids)

    def test_real_names(self, data: Path):
        ids = [path.stem for path in sorted((data / "fundus/poor").iterdir())]
        kept, held = split(ids, 0.2)
        assert not {group_of(id_) for id_ in kept} & {group_of(id_) for id_ in held}
        assert len({group_of(id_) for id_ in ids}) < len(ids)


def test_a_source_too_large_to_split_is_refused_at_once():
    source = open_source("phantom:chest?count=1000000000&size=64")
    with pytest.raises(ValueError, match=r"1,000,000,000 images; at most .* can be split: keep nothing out"):
        hold_out(Sources(source), 0.2)
