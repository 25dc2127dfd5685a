"""`enhance evaluate`: protocols, segmentation, graders, results of others, breakdown, tests, files, running size."""

from __future__ import annotations

import csv
import io
import json
import re
import sys

import numpy as np
import pytest
import torch
from scipy import io as scipy_io
from scipy import stats
from skimage.metrics import structural_similarity

import degrade
from degrade.images import image_io
from enhance import metrics
from enhance.checkpoints import load_enhancer, write_weights
from enhance.segmenter import VesselSegmenter, save_segmenter
from enhance.trainers import trainer
from tests.cli.test_cli_train import enhance

EYES = "phantom:fundus?count=3&size=64"
CHEST = "phantom:chest?count=4&size=64"
BIG = "phantom:chest?count=12&size=128"

FUNCTIONS = """
import torch

def dark(image):
    return (image.mean(1, keepdim=True) < 0.35).float()

def two(image):
    return torch.cat([dark(image), 1 - dark(image)], 1)

def grade(image):
    bright = image.mean((1, 2, 3))
    return torch.stack([bright - 0.3, 0 * bright, 0.2 - bright], 1)

def wrong(image):
    return image.mean((1, 2, 3))
"""


@pytest.fixture
def functions(tmp_path, monkeypatch):
    (tmp_path / "measuring_functions.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    yield "measuring_functions"
    sys.modules.pop("measuring_functions", None)


def loaded(number, text=CHEST):
    return image_io.to_float(degrade.stream.open_source(text).load(number)["image"])


def evaluate(tmp_path, *words, code=0):
    said = enhance("evaluate", *words, "--json", tmp_path / "t.json", code=code)
    return json.loads((tmp_path / "t.json").read_text()) if code == 0 else said


def rounded(image):
    """As it is in a file."""
    return image_io.to_float(image_io.to_integer(image))


def test_identity_is_what_is_degraded(tmp_path):
    found = evaluate(tmp_path, "identity", EYES, "--recipe", "pce-net", "--limit", 2)["values"]
    assert found["identity"] == found["degraded"]


def test_the_table_says_which_way_is_good(tmp_path):
    said = enhance("evaluate", "identity", EYES, "--recipe", "pce-net", "--limit", 1)
    assert "PSNR ↑" in said
    assert "PIQE ↓" in said
    assert "± " not in said.partition("\n")[2]  # of one image there is no deviation


def test_the_segmentation_of_the_enhanced_against_that_of_the_reference(functions, tmp_path):
    """PCE-Net's protocol, by hand on three images."""
    words = ["clahe", EYES, "--recipe", "pce-net", "--set", "type=111", "--segmenter", f"{functions}:dark"]
    found = evaluate(tmp_path, *words, "--against", "reference")
    stream = degrade.stream.PairStream(EYES, degrade.recipe("pce-net", type="111"), batch_size=1, shuffle=False)
    for place, batch in enumerate(stream):
        inside = batch.mask[0, 0].numpy() > 0.5
        ours, truth = ((x[0].mean(0).numpy() < 0.35)[inside] for x in (rounded(batch.degraded), batch.clean))
        tp, fp, fn, tn = ((ours & truth).sum(), (ours & ~truth).sum(), (~ours & truth).sum(), (~ours & ~truth).sum())
        row = {name: numbers[place] for name, numbers in found["values"]["degraded"].items()}
        assert row["Dice"] == pytest.approx(2 * tp / (2 * tp + fp + fn))
        assert row["IoU"] == pytest.approx(tp / (tp + fp + fn))
        assert row["Acc"] == pytest.approx((tp + tn) / inside.sum())
        assert row["Sen"] == pytest.approx(tp / (tp + fn))
        assert row["Spe"] == pytest.approx(tn / (tn + fp))
        assert row["FDR"] == pytest.approx(fp / (tp + fp))
        assert row["G-mean"] == pytest.approx((tp / (tp + fn) * tn / (tn + fp)) ** 0.5)
        assert {"AUC", "kappa"} <= row.keys()
    by_truth = evaluate(tmp_path, *words)  # phantoms have vessels
    assert by_truth["protocol"]["against"] == "truth"
    assert by_truth["values"]["degraded"]["Dice"] != found["values"]["degraded"]["Dice"]


def test_a_segmenter_without_masks_is_not_ignored(functions, tmp_path):
    """It is compared with the reference, or refused where there is none."""
    words = ["identity", CHEST, "--segmenter", f"{functions}:dark"]
    assert "Dice" in evaluate(tmp_path, *words, "--recipe", "x-bdcnn")["summary"]["degraded"]
    assert "there is nothing to compare with" in evaluate(tmp_path, *words, code=2)
    refused = evaluate(tmp_path, *words, "--recipe", "x-bdcnn", "--against", "truth", code=2)
    assert "'--against': 'truth': there are no masks" in refused
    assert "--against says what" in evaluate(tmp_path, "identity", CHEST, "--against", "truth", code=2)


def test_several_structures(functions, tmp_path):
    words = ["identity", EYES, "--recipe", "cofe-net", "--segmenter", f"{functions}:two", "--against", "reference"]
    found = evaluate(tmp_path, *words, "--structure", "dark,bright")["summary"]["degraded"]
    assert {"dark Dice", "bright IoU", "mean Dice", "mean IoU"} <= found.keys()
    assert found["mean Dice"]["mean"] == pytest.approx((found["dark Dice"]["mean"] + found["bright Dice"]["mean"]) / 2)
    said = enhance("evaluate", *words, code=1)
    assert "finds 2 structures; named are 1: vessels" in said


def test_a_grader(functions, tmp_path):
    found = evaluate(tmp_path, "identity", CHEST, "--grader", f"{functions}:grade")["values"]["degraded"]
    means = [float(loaded(n).mean()) for n in range(4)]
    best = [int(np.argmax([m - 0.3, 0, 0.2 - m])) for m in means]
    assert found["FIQA"] == [float(b == 0) for b in best]
    assert found["WFQA"] == [float(2 - b) for b in best]
    words = ["evaluate", "identity", CHEST, "--grader"]
    assert "returned (1,) for one image" in enhance(*words, f"{functions}:wrong", code=1)
    assert "'--grader': 'grader': allowed is FILE.pt2" in enhance(*words, "grader", code=2)


def test_results_of_another_program_are_a_row(tmp_path):
    source = degrade.stream.open_source(CHEST)
    for number, id_ in enumerate(source.ids):
        image_io.write(tmp_path / "theirs" / f"{id_}.png", image_io.to_integer(loaded(number)))
    found = evaluate(tmp_path, tmp_path / "theirs", "gaussian", CHEST, "--recipe", "x-bdcnn")
    assert list(found["summary"]) == ["degraded", "theirs", "gaussian"]
    assert found["summary"]["theirs"]["SSIM"]["mean"] > 0.999  # the clean images
    (tmp_path / "theirs" / f"{source.ids[2]}.png").unlink()
    fewer = evaluate(tmp_path, tmp_path / "theirs", CHEST, "--recipe", "x-bdcnn", "--size", 48)
    assert len(fewer["images"]) == 3
    assert "has no result of that name" in fewer["failed"][source.ids[2]]
    (tmp_path / "empty").mkdir()
    assert "has no weights of 'enhance train'" in enhance("evaluate", tmp_path / "empty", CHEST, code=2)


def test_breakdown_tests_and_files(tmp_path):
    words = ["clahe", "phantom:fundus?count=8&size=48", "--recipe", "cofe-net", "--by", "type", "--tests", "--time"]
    found = evaluate(tmp_path, *words, "--csv", tmp_path / "t.csv")
    types = [one["type"] for one in found["groups"]]
    assert set(found["by type"]) == set(types)
    psnr = found["values"]["clahe"]["PSNR"]
    for name, summary in found["by type"].items():
        some = [x for x, one in zip(psnr, types, strict=True) if one == name]
        assert summary["clahe"]["PSNR"]["mean"] == pytest.approx(np.mean(some))
    (test,) = (one for one in found["tests"] if one["metric"] == "PSNR")
    before = found["values"]["degraded"]["PSNR"]
    assert (test["first"], test["second"], test["images"]) == ("degraded", "clahe", 8)
    assert test["t"] == pytest.approx(stats.ttest_rel(before, psnr).pvalue)
    assert test["wilcoxon"] == pytest.approx(stats.wilcoxon(before, psnr).pvalue)
    low, high = found["intervals"]["clahe"]["PSNR"]
    assert low < np.mean(psnr) < high
    assert found["summary"]["clahe"]["ms"]["mean"] > 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text())))
    assert len(rows) == 16
    assert [float(row["PSNR"]) for row in rows if row["method"] == "clahe"] == psnr
    assert {row["type"] for row in rows} == set(types)


def test_a_papers_protocol(tmp_path):
    """The whole square of 256 and scikit-image's SSIM, as PCE-Net's code measures."""
    found = evaluate(tmp_path, "identity", EYES, "--recipe", "pce-net", "--protocol", "pcenet", "--limit", 1)
    batch = next(iter(degrade.stream.PairStream(EYES, "pce-net", batch_size=1, size=256, shuffle=False)))
    images = (rounded(batch.degraded), batch.clean)
    pair = [(x * batch.mask)[0].double().permute(1, 2, 0).numpy() for x in images]
    expected = structural_similarity(*pair, channel_axis=2, data_range=1.0)
    assert found["values"]["degraded"]["SSIM"][0] == pytest.approx(expected, abs=1e-6)
    psnr = -10 * np.log10(((pair[0] - pair[1]) ** 2).mean())
    assert found["values"]["degraded"]["PSNR"][0] == pytest.approx(psnr, abs=1e-4)
    words = ["identity", EYES, "--recipe", "pce-net"]
    assert "'--protocol': 'paper': no METHOD is a run" in enhance("evaluate", *words, "--protocol", "paper", code=2)
    assert "allowed is own, paper, or one of pcenet" in enhance("evaluate", *words, "--protocol", "mine", code=2)


def test_uniform_ssim_is_scikit_images():
    x, y = torch.rand(2, 3, 20, 24), torch.rand(2, 3, 20, 24)
    for n, value in enumerate(metrics.ssim(x, y, window="uniform")):
        pair = (z[n].double().permute(1, 2, 0).numpy() for z in (x, y))
        assert float(value) == pytest.approx(structural_similarity(*pair, channel_axis=2, data_range=1.0), abs=1e-9)


def test_niqe_from_files(tmp_path):
    model = metrics.fit_niqe([loaded(n, BIG)[None] for n in range(12)], patch=32)
    model.save(tmp_path / "m.npz")
    words = ["identity", BIG, "--limit", 1]
    ours = evaluate(tmp_path, *words, "--niqe", tmp_path / "m.npz")["values"]["degraded"]["NIQE"]
    assert ours[0] == pytest.approx(float(metrics.niqe(loaded(0, BIG)[None], model)), rel=1e-6)
    theirs = {"mu_prisparam": model.mean.numpy()[None], "cov_prisparam": model.covariance.numpy()}
    scipy_io.savemat(tmp_path / "modelparameters.mat", theirs)
    np.savez(tmp_path / "p.npz", mu_pris_param=theirs["mu_prisparam"], cov_pris_param=theirs["cov_prisparam"])
    for name in ("modelparameters.mat", "p.npz"):
        found = metrics.NiqeModel.published(tmp_path / name)
        assert torch.equal(found.mean, model.mean)
        assert found.patch == 96
        assert evaluate(tmp_path, *words, "--niqe", tmp_path / name)["summary"]["degraded"]["NIQE"]["images"] == 1
    (tmp_path / "broken.mat").write_bytes(b"nothing")
    assert "is no published NIQE model" in enhance("evaluate", *words, "--niqe", tmp_path / "broken.mat", code=2)


def test_crops(tmp_path):
    found = evaluate(tmp_path, "identity", CHEST, "--crop", 40)
    image = loaded(0)[:, 12:52, 12:52]
    assert found["values"]["degraded"]["entropy"][0] == pytest.approx(float(metrics.entropy(image[None])))
    assert "no square of 96" in enhance("evaluate", "identity", CHEST, "--crop", 96, code=1)


@pytest.fixture(scope="module")
def at_48(tmp_path_factory):
    """A network trained on images of 48 pixels."""
    folder = tmp_path_factory.mktemp("sized")
    made = trainer("zhao", width=4, blocks=1, d_width=4, size=48, crop=None)
    write_weights(folder / "weights.safetensors", made, 0, None)
    return folder


def test_networks_run_at_the_size_of_their_training(at_48, tmp_path):
    network = load_enhancer(at_48)
    assert network.trained_size == 48
    eye = degrade.phantom.fundus(degrade.make_keys(0, 1), 64)[0][0]
    image_io.write(tmp_path / "in/a.png", image_io.to_integer(eye))
    said = enhance("apply", at_48, tmp_path / "in", tmp_path / "out")
    assert "was trained on images of 48 pixels, and is run at that size" in said
    enhance("apply", at_48, tmp_path / "in", tmp_path / "sized", "--size", 48)
    full = enhance("apply", at_48, tmp_path / "in", tmp_path / "full", "--full-size")
    assert "is run at the images' own size" in full
    default, sized, whole = (image_io.read(tmp_path / name / "a.png") for name in ("out", "sized", "full"))
    assert default.shape == whole.shape == (3, 64, 64)
    assert torch.equal(default, sized)
    assert not torch.equal(default, whole)
    assert "is run at 64: --size 48" in enhance("apply", at_48, tmp_path / "in", tmp_path / "b", "--size", 64)


def test_evaluate_runs_networks_at_their_size(at_48, tmp_path):
    words = [at_48, EYES, "--recipe", "cataract"]
    sized, whole = (evaluate(tmp_path, *words, *more)["values"] for more in ([], ["--full-size"]))
    assert sized["degraded"] == whole["degraded"]  # measured at the images' own size
    name = at_48.name
    assert sized[name]["PSNR"] != whole[name]["PSNR"]
    assert evaluate(tmp_path, *words, "--protocol", "paper")["protocol"]["whole_frame"]


def test_a_segmenter_runs_at_its_size_too(tmp_path):
    save_segmenter(VesselSegmenter(3, 4, size=48), tmp_path / "s.safetensors")
    words = ["identity", EYES, "--recipe", "cofe-net", "--segmenter", tmp_path / "s.safetensors"]
    assert "Dice" in evaluate(tmp_path, *words)["summary"]["degraded"]


def test_a_report_is_one_file(tmp_path):
    words = ["gaussian", EYES, "--recipe", "cofe-net", "--by", "type", "--report", tmp_path / "r.html"]
    evaluate(tmp_path, *words)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.count("<table>") == 1 + page.count("<h2>type ")
    assert "PSNR ↑" in page
    assert "PIQE ↓" in page
    assert 'src="data:image/png;base64,' in page
    assert not re.search(r'(src|href)="(?!data:)', page)  # nothing beside it
    assert '<td class="best">' in page
