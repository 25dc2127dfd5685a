"""Color augmentation before the degradation: keyed, shared, and within the field of view only."""

from __future__ import annotations

import pytest
import torch

import degrade
from degrade.stream import MixedStream, PairStream, UnpairedStream
from degrade.stream.jitter import Factors, Jitter, jittered
from enhance.training import Options
from tests.cli.test_cli_train import CHEST, SMALL, train

EYES = "phantom:fundus?count=4&size=64"
JITTERS = {"brightness_jitter": 0.3, "contrast_jitter": 0.3, "color_jitter": 0.3}


def pictures(epoch=0, **options):
    stream = PairStream(EYES, "cofe-net", **options)
    stream.set_epoch(epoch)
    return {id_: batch[n] for batch in stream for n, id_ in enumerate(batch.ids)}


def test_it_is_keyed_and_changes_the_target_but_no_mask_and_no_degradation():
    plain, varied = pictures(batch_size=2), pictures(batch_size=3, workers=1, **JITTERS)
    again, later = pictures(batch_size=1, **JITTERS), pictures(1, batch_size=1, **JITTERS)
    recipe = degrade.recipe("cofe-net")
    for id_, one in varied.items():
        inside = one.mask.expand_as(one.clean) > 0.5
        assert not torch.allclose(one.clean, plain[id_].clean, atol=0.01)
        assert torch.equal(one.clean[~inside], plain[id_].clean[~inside])
        for name in ("clean", "degraded", "mask"):
            assert torch.allclose(getattr(one, name), getattr(again[id_], name), atol=1e-6)
        assert torch.equal(one.mask, plain[id_].mask)
        assert torch.equal(one.maps["vessels"], plain[id_].maps["vessels"])
        assert all(torch.equal(one.parameters[name], plain[id_].parameters[name]) for name in one.parameters)
        assert torch.allclose(recipe.apply(one.clean, one.parameters, one.mask), one.degraded, atol=1e-6)
        assert not torch.allclose(one.clean, later[id_].clean, atol=0.01)


def test_all_views_share_it():
    batch = next(iter(PairStream(EYES, "pce-net", batch_size=4, views=3, **JITTERS)))
    recipe = degrade.recipe("pce-net")
    for view in range(3):
        parameters = {name: value[:, view] for name, value in batch.parameters.items()}
        assert torch.allclose(recipe.apply(batch.clean, parameters, batch.mask), batch.degraded[:, view], atol=1e-5)


def test_what_each_factor_does():
    image = torch.tensor([[[0.2, 0.4]], [[0.2, 0.6]], [[0.2, 0.2]]])  # grey, and a color
    images = {"image": image, "mask": torch.ones(1, 1, 2)}
    brighter = jittered(images, Factors(1.5, 1, 1))["image"]
    assert torch.allclose(brighter, image * 1.5)
    flat = jittered(images, Factors(1, 0, 1))["image"]
    luma = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
    assert torch.allclose(flat, luma.mean().expand(3, 1, 2))
    grey = jittered(images, Factors(1, 1, 0))["image"]
    assert torch.allclose(grey, luma.expand(3, 1, 2))
    assert torch.equal(jittered(images, Factors(9, 1, 1))["image"].max(), torch.tensor(1.0))
    half = {**images, "mask": torch.tensor([[[1.0, 0.0]]])}
    assert torch.equal(jittered(half, Factors(2, 1, 1))["image"][..., 1], image[..., 1])


def test_the_factors_are_uniform_over_their_range():
    drawn = torch.tensor(
        [[f.brightness, f.contrast, f.color] for f in Jitter(0.2, 0.4, 0).draw(degrade.make_keys(0, 4000))]
    )
    assert torch.allclose(drawn.amin(0), torch.tensor([0.8, 0.6, 1.0]), atol=0.005)
    assert torch.allclose(drawn.amax(0), torch.tensor([1.2, 1.4, 1.0]), atol=0.005)
    assert torch.allclose(drawn.mean(0), torch.ones(3), atol=0.02)
    assert abs(float(torch.corrcoef(drawn[:, :2].T)[0, 1])) < 0.06
    with pytest.raises(ValueError, match=r"contrast_jitter = 1.5: a number from 0 to 1"):
        PairStream(EYES, "cofe-net", batch_size=1, contrast_jitter=1.5)


@pytest.mark.slow
def test_other_streams_take_it():
    for make in (
        lambda **o: next(iter(UnpairedStream(None, EYES, batch_size=2, low_recipe="cataract", **o))).high.image,
        lambda **o: (
            next(iter(MixedStream(EYES, "cofe-net", EYES, batch_size=2, unlabelled_size=2, **o))).unlabelled.image
        ),
    ):
        assert not torch.allclose(make(), make(**JITTERS), atol=0.01)
        assert torch.equal(make(), make(color_jitter=0))


def test_the_option_of_a_run(tmp_path):
    assert Options().stream() == {}
    assert Options(contrast_jitter=0.2, prepare="fov").stream() == {"contrast_jitter": 0.2, "prepare": "fov"}
    given = ["xbdcnn", CHEST, *SMALL, "--steps", 1]
    train(*given, "--out", tmp_path / "a")
    train(*given, "--out", tmp_path / "b", "--brightness-jitter", 0.5)
    one, other = ((tmp_path / name / "log.jsonl").read_text().splitlines()[0] for name in "ab")
    assert one.split('"losses"')[-1] != other.split('"losses"')[-1]
    assert "brightness_jitter = 0.5" in (tmp_path / "b/run.toml").read_text()
    assert "jitter" not in (tmp_path / "a/run.toml").read_text()
