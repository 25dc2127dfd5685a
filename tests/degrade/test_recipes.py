"""Recipes: overriding, refusing, TOML, records."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import degrade
from degrade.models.fundus.release import from_cofe_net
from degrade.records import from_record, to_record
from degrade.settings import Choice, Number, Range


def test_the_release_draws_what_the_release_draws() -> None:
    """Ranges and supports of section 1 of the release, on 20,000 draws."""
    p = degrade.recipe("cofe-net").draw(degrade.make_keys(0, 20_000), 512, 512)
    px = {name: value * 512 for name, value in p.items() if value.is_floating_point()}
    assert set(p["spot_count"].tolist()) == set(range(5, 11))
    present = p["spot_height"] > 0
    assert torch.equal(present.sum(1), p["spot_count"])
    assert set(px["spot_radius"][present].tolist()) == set(range(3, 13))  # floor(r / 2) of r in 6..25
    assert set(px["blur_kernel"].flatten().tolist()) == {1, 3, 5, 7}
    assert set((px["hole_radius"]).tolist()) == set(range(102, 180))  # floor(D / 2) of D in 204..358
    centers = px["halo_center"] - 0.5
    assert (centers.min(), centers.max()) == (192, 320)
    assert {
        name: (round(float(p[name].min()), 2), round(float(p[name].max()), 2))
        for name in ("brightness", "contrast", "saturation")
    } == {"brightness": (0.7, 1.2), "contrast": (0.6, 1.4), "saturation": (0.6, 1.4)}
    assert len(p["halo_color"].unique(dim=0)) == 2  # white never occurs with the released ranges


def test_paper_and_pce_net_differ_as_documented() -> None:
    keys = degrade.make_keys(0, 5000)
    paper, pce = (degrade.recipe(name).draw(keys, 512, 512) for name in ("cofe-net-paper", "pce-net"))
    assert set(paper["spot_count"].tolist()) == set(range(10, 31))
    assert 0.019 < float(paper["noise"].max()) < 0.02
    assert 1.39 < float(pce["brightness"].max()) < 1.4
    assert float(pce["noise"].max()) == 0


def test_fixed_and_ranged_overrides() -> None:
    d = degrade.recipe("cofe-net", brightness=0.8, contrast=(0.9, 1.0), spot_count=3, type="011")
    p = d.draw(degrade.make_keys(0, 100), 512, 512)
    assert (p["brightness"] == 0.8).all()
    assert 0.9 <= float(p["contrast"].min()) <= float(p["contrast"].max()) < 1.0
    assert (p["spot_count"] == 3).all()
    assert (p["type"] == 3).all()


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("cofe-nett", {}, "did you mean cofe-net"),
        ("cofe-net", {"britness": 1}, "did you mean brightness"),
        ("cofe-net", {"brightness": -1}, r"brightness = -1: allowed is .* within \[0, 3\]"),
        ("cofe-net", {"brightness": (1.2, 0.7)}, "brightness"),
        ("cofe-net", {"brightness": "much"}, "brightness"),
        ("cofe-net", {"brightness": float("nan")}, "brightness"),
        ("cofe-net", {"spot_count": 2.5}, "whole numbers"),
        ("cofe-net", {"type": "112"}, "allowed is one of random, 001"),
        ("cofe-net", {"emulate_8bit": 1}, "emulate_8bit"),
        ("cofe-net", {"softness": (0.0, 0.1)}, "softness"),
        ("cataract", {"type": "111"}, "unknown setting"),
        ("cataract", {"citation": "me"}, "unknown setting 'citation'"),
    ],
)
def test_refusals(name: str, overrides: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        degrade.recipe(name, **overrides)


def values(setting: Range | Choice | Number) -> st.SearchStrategy[object]:
    if isinstance(setting, Choice):
        return st.sampled_from(setting.choices)
    low, high = setting.limits
    if isinstance(setting, Number):
        return st.floats(low, high)
    if setting.whole:
        return st.tuples(st.integers(int(low), int(high)), st.integers(int(low), int(high))).map(sorted)
    return st.tuples(st.floats(low, high), st.floats(low, high)).map(lambda pair: tuple(sorted(pair)))


@settings(max_examples=60, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(degrade.RECIPES)))
def test_toml_round_trip(data: st.DataObject, name: str) -> None:
    table = degrade.RECIPES[name].model.settings_table
    chosen = data.draw(st.fixed_dictionaries({}, optional={key: values(entry) for key, entry in table.items()}))
    if name.startswith("x-bdcnn"):  # eta and levels together limit each other
        chosen.pop("levels", None)
        chosen.pop("eta", None)
    if "blur_kernel" in table:  # so do the sizes of the blur
        chosen.pop("blur_kernel", None)
    d = degrade.recipe(name, **chosen)
    again = degrade.recipe(d.to_toml())
    assert again.settings == d.settings
    assert (again.name, again.citation) == (d.name, d.citation)


def test_toml_file_with_overrides_and_foreign_tables(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('recipe = "cofe-net"\nbrightness = [0.5, 0.6]\ntype = "001"\n[synth]\nseed = 3\n')
    d = degrade.recipe(path, type="010")
    assert d.settings["brightness"] == (0.5, 0.6)
    assert d.settings["type"] == "010"
    with pytest.raises(ValueError, match="must name the recipe"):
        degrade.recipe('type = "001"\n')


@pytest.mark.parametrize("name", sorted(degrade.RECIPES))
def test_records_round_trip_through_json(name: str) -> None:
    d = degrade.recipe(name)
    p, table = d.draw(degrade.make_keys(0, 8), 300, 400), d.parameter_table
    assert set(p) == set(table.names)
    for i in range(8):
        again = from_record(table, json.loads(json.dumps(to_record(table, p, i))))
        assert all(torch.equal(again[key], value[i : i + 1]) for key, value in p.items())
        assert all(again[key].dtype == value.dtype for key, value in p.items())


def test_bad_records_are_named() -> None:
    with pytest.raises(ValueError, match="type"):
        from_record(degrade.models.Fundus.parameter_table, {"type": "112"})
    with pytest.raises(ValueError, match="brightness"):
        from_record(degrade.models.Fundus.parameter_table, {"brightness": "much"})
    with pytest.raises(ValueError, match=r"not a Cofe-Net parameter file.*hole"):
        from_cofe_net({"params": {"illumination": {"color": COLOUR, "halo": HALO}}})
    with pytest.raises(ValueError, match="not a Cofe-Net parameter file"):
        from_cofe_net({"brightness": 1})


COLOUR = {"brightness_factor": 0.9, "contrast_factor": 1.1, "saturation_factor": 1.2}
HALO = {"num": 1, "center_a": [250, 260], "dia_a": 450.5, "center_b": [250, 260], "dia_b": 900.1}


def test_partial_cofe_net_files_leave_the_other_stages_out() -> None:
    p = from_cofe_net({"params": {"blur": {"sigma": 9.0, "rad_w": 5, "rad_h": 3}}})
    assert p["type"].tolist() == [4]
    image = torch.rand(1, 3, 64, 64)
    degraded = degrade.recipe("cofe-net").apply(image, p, torch.ones(1, 1, 64, 64))
    assert degraded.shape == image.shape


def test_import_is_light() -> None:
    """Beyond torch, no kornia, Pillow or other package that takes its time."""
    code = (
        "import sys, torch, degrade; "
        "print([m for m in ('kornia', 'PIL', 'cv2', 'scipy', 'torchvision') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output == "[]\n"
