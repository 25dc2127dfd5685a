"""The fused Cofe-Net kernels equal the batched path: in Triton's interpreter, or on a CUDA device if there is one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import degrade
from degrade import Parameters
from degrade.base import Call
from degrade.models.fundus import Fundus
from degrade.models.fundus.constants import ILLUMINATION
from degrade.models.fundus.release import from_cofe_net
from degrade.models.fundus.table import PARAMETERS
from degrade.packing import pack
from tests.golden import test_golden

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are defined
pytest.importorskip("triton")

from degrade.models.fundus import gpu as fundus
from degrade.models.fundus import gpu_fields as fields

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
RECIPES = sorted(name for name, preset in degrade.RECIPES.items() if preset.model is Fundus)
TOLERANCE = 0.1 / 255  # fields of half precision; spots and blur alone equal to float rounding


def enlarge(monkeypatch: pytest.MonkeyPatch, *sizes: object) -> None:
    """Other tiles, for the interpreter: each costs it as much as a small one."""
    places = ((fields, "_ACROSS"), (fields, "_DOWN"), (fundus, "_TILE"), (fundus, "_BLOCK"))
    for (module, name), size in zip(places, sizes, strict=True):
        if DEVICE == "cpu":
            monkeypatch.setattr(module, name, size)


@pytest.fixture
def few_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    enlarge(monkeypatch, (64, 128), (128, 128, 64), (64, 128), 8192)


def photograph(height: int, width: int, batch: int, channels: int = 3) -> tuple[Tensor, Tensor]:
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, batch), max(height, width))
    return image[:, :channels, :height, :width].to(DEVICE), mask[..., :height, :width].to(DEVICE)


def drawn(d: degrade.Degradation, batch: int, height: int, width: int, seed: int = 0) -> Parameters:
    return {name: value.to(DEVICE) for name, value in d.draw(degrade.make_keys(seed, batch), height, width).items()}


def packed_call(image: Tensor, p: Parameters, mask: Tensor) -> Call:
    on_host = {name: value.cpu() for name, value in p.items()}
    packed = pack(PARAMETERS, on_host, PARAMETERS.count(on_host))
    most = packed.largest()
    return Call(image, p, packed.to(image.device), mask, lambda: most, degrade.recipe("cofe-net").settings)


def fused(image: Tensor, p: Parameters, mask: Tensor) -> Tensor:
    return fundus.degrade(packed_call(image, p, mask))


def batched(image: Tensor, p: Parameters, mask: Tensor) -> Tensor:
    return degrade.recipe("cofe-net")._define(packed_call(image.float(), p, mask))


def difference(image: Tensor, p: Parameters, mask: Tensor) -> Tensor:
    """The largest difference of every sample."""
    return (fused(image, p, mask) - batched(image, p, mask)).abs().amax(dim=(1, 2, 3))


@pytest.mark.slow
@pytest.mark.usefixtures("few_tiles")
@pytest.mark.parametrize(
    ("recipe", "shape"), [*((recipe, (48, 64)) for recipe in RECIPES), ("cofe-net-paper", (97, 61))], ids=str
)
def test_every_type_equals_the_batched_path(recipe: str, shape: tuple[int, int]) -> None:
    d = degrade.recipe(recipe, spot_count=8)
    image, mask = photograph(*shape, 7)
    p = {**drawn(d, 7, *shape), "type": torch.arange(1, 8, device=DEVICE)}
    assert d.settings["noise"] == 0 or bool((p["noise"] > 0).all())
    off = difference(image, p, mask)
    assert off.max() < TOLERANCE
    without_fields = (p["type"] & ILLUMINATION) == 0
    assert off[without_fields].max() < 2e-6 + 2e-5 * float(p["noise"].max())


@pytest.mark.slow
def test_the_tiles_that_gpus_use_equal_it_as_well() -> None:
    image, mask = photograph(70, 131, 2)
    p = drawn(degrade.recipe("cofe-net", type="111"), 2, 70, 131)
    assert difference(image, p, mask).max() < TOLERANCE


@pytest.mark.usefixtures("few_tiles")
@pytest.mark.slow
def test_grey_images() -> None:
    image, mask = photograph(61, 97, 3, channels=1)
    p = {**drawn(degrade.recipe("cofe-net-paper"), 3, 61, 97), "type": torch.tensor([1, 6, 7], device=DEVICE)}
    assert difference(image, p, mask).max() < TOLERANCE


def extremes(name: str, p: Parameters) -> Parameters:
    """Parameters at and beyond the ends of what recipes draw; all stages act."""
    ends: dict[str, dict[str, float]] = {
        "beyond the frame": {"halo_inner": 0.7, "halo_outer": 3.0, "hole_radius": 2.0, "spot_radius": 0.3},
        "the ring inside out": {"halo_inner": 0.45, "halo_outer": 0.2},
        "wide kernels": {"halo_kernel": 2.0, "hole_kernel": 1.9, "blur_kernel": 0.9, "spot_kernel": 0.5},
        "kernels of one tap": dict.fromkeys(("halo_kernel", "hole_kernel", "blur_kernel", "spot_kernel"), 1 / 512),
        "between the odd": dict.fromkeys(("halo_kernel", "hole_kernel", "blur_kernel", "spot_kernel"), 30.3 / 512),
        "spared": {"hole_threshold": 1.0},
        "exaggerated": {"brightness": 2.0, "contrast": 2.5, "saturation": 3.0, "hole_depth": 1.0, "halo_strength": 2.0},
        "nothing left": {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0},
        "no spots": {"spot_height": 0.0},
        "at the corner": {"hole_center": 0.0, "halo_center": 1.0, "spot_center": 0.0},
        "narrow sigmas": {"blur_sigma": 0.004, "halo_sigma": 0.05, "hole_sigma": 0.02, "spot_sigma": 0.003},
    }
    return {**p, **{key: torch.full_like(p[key], value) for key, value in ends[name].items()}}


EXTREMES = (
    "beyond the frame", "the ring inside out", "wide kernels", "kernels of one tap", "between the odd", "spared",
    "exaggerated", "nothing left", "no spots", "at the corner", "narrow sigmas",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("few_tiles")
@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_parameters(name: str) -> None:
    image, mask = photograph(64, 50, 2)
    p = extremes(name, drawn(degrade.recipe("cofe-net", type="111"), 2, 64, 50))
    # twice the light, twice the error of its field
    assert difference(image, p, mask).max() < TOLERANCE * (2 if name == "exaggerated" else 1)


@pytest.mark.usefixtures("few_tiles")
def test_no_places_for_spots_no_images_and_an_empty_mask() -> None:
    image, mask = photograph(48, 48, 2)
    p = drawn(degrade.recipe("cofe-net", type="111", spot_count=0), 2, 48, 48)
    assert p["spot_radius"].shape == (2, 0)
    assert difference(image, p, mask).max() < TOLERANCE
    assert not fused(image, p, torch.zeros_like(mask)).any()
    none = fused(image[:0], {name: value[:0] for name, value in p.items()}, mask[:0])
    assert none.shape == (0, 3, 48, 48)


@pytest.mark.slow
@pytest.mark.usefixtures("few_tiles")
def test_a_sample_is_the_same_alone_and_in_any_batch() -> None:
    image, mask = photograph(61, 97, 3)
    p = drawn(degrade.recipe("cofe-net-paper", type="111", spot_count=6), 3, 61, 97)
    # tables grow with the batch's largest kernels: that must not show
    for name in ("halo_kernel", "hole_kernel", "blur_kernel", "spot_kernel"):
        p[name] = p[name] * torch.tensor([0.2, 1.4, 0.7], device=DEVICE).view(-1, *(1,) * (p[name].ndim - 1))
    together = fused(image, p, mask)
    for i in range(3):
        row = {name: value[i : i + 1] for name, value in p.items()}
        assert torch.equal(fused(image[i : i + 1], row, mask[i : i + 1])[0], together[i])


@pytest.mark.slow
@pytest.mark.usefixtures("few_tiles")
def test_nothing_given_is_changed_and_layouts_do_not_matter() -> None:
    image, mask = photograph(48, 64, 2)
    p = drawn(degrade.recipe("cofe-net-paper", type="111"), 2, 48, 64)
    before = image.clone(), mask.clone(), {name: value.clone() for name, value in p.items()}
    expected = fused(image, p, mask)
    assert torch.equal(image, before[0])
    assert torch.equal(mask, before[1])
    assert all(torch.equal(p[name], before[2][name]) for name in p)
    strided = {name: torch.stack([value, value], dim=-1)[..., 0] for name, value in p.items()}
    got = fused(image.to(memory_format=torch.channels_last), strided, mask.repeat(1, 2, 1, 1)[:, :1])
    assert torch.equal(got, expected)


@pytest.mark.slow
@pytest.mark.usefixtures("few_tiles")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("noise", [False, True])
def test_half_precision_storage(dtype: torch.dtype, noise: bool) -> None:
    image, mask = photograph(48, 48, 3)
    p = {**drawn(degrade.recipe("cofe-net-paper"), 3, 48, 48), "type": torch.tensor([7, 3, 4], device=DEVICE)}
    p["noise"] = p["noise"] * noise
    got, expected = fused(image.to(dtype), p, mask), batched(image.to(dtype), p, mask)
    assert got.dtype == dtype
    # Triton's interpreter cuts bfloat16 off, where devices round
    unit = torch.finfo(dtype).eps / (1 if DEVICE == "cpu" and dtype == torch.bfloat16 else 2)
    assert ((got.float() - expected).abs() <= expected * unit + TOLERANCE).all()


@pytest.mark.usefixtures("few_tiles")
@pytest.mark.parametrize("channels", [1, 3])
def test_a_nan_shows(channels: int) -> None:
    image, mask = photograph(48, 48, 1, channels)
    image[0, 0, 20, 20] = torch.nan
    p = drawn(degrade.recipe("cofe-net", type="111"), 1, 48, 48)
    assert fused(image, p, mask).isnan().any()


# --- defects that are planted are found ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("few_tiles")
@pytest.mark.parametrize("name", ["brightness", "halo_strength", "hole_radius", "spot_height", "blur_kernel", "noise"])
def test_a_wrong_parameter_is_noticed(name: str) -> None:
    image, mask = photograph(48, 64, 1)
    p = drawn(degrade.recipe("cofe-net-paper", type="111", noise=0.02), 1, 48, 64)
    wrong = {**p, name: p[name] * 1.5}
    assert (fused(image, wrong, mask) - batched(image, p, mask)).abs().max() > TOLERANCE


@pytest.mark.usefixtures("few_tiles")
@pytest.mark.parametrize("place", ["halo", "hole", "blur", "spots"])
def test_a_wrong_table_is_noticed(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = fields.tables

    def wrong(*arguments: object) -> fields.Tables:
        made = right(*arguments)  # type: ignore[arg-type]
        length = made.lengths[0]
        part = {
            "halo": made.records[:, :length],
            "hole": made.records[:, 3 * length : 6 * length],
            "blur": made.blur[:, : 3 * made.lengths[1]],
            "spots": made.spots,
        }[place]
        part *= 0.99
        return made

    image, mask = photograph(48, 64, 1)
    p = drawn(degrade.recipe("cofe-net", type="111"), 1, 48, 64)
    monkeypatch.setattr(fields, "tables", wrong)
    assert difference(image, p, mask).max() > TOLERANCE


# --- the original authors' code ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("run", test_golden.RUNS[::2])
def test_the_stages_of_the_release(golden: Path, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    enlarge(monkeypatch, (128, 512), (128, 512, 64), (64, 512), 65536)
    folder = golden / "cofe_net_release"
    parameters = from_cofe_net(json.loads((folder / f"{run}.json").read_text()))
    arrays = np.load(folder / f"{run}_stages.npz")
    stored = {name: torch.from_numpy(arrays[name].astype(np.float32) / 65535)[None].to(DEVICE) for name in arrays}
    mask = test_golden.load(folder / f"{run.rsplit('_', 1)[0]}_mask.png", "L").float().to(DEVICE)
    for before, stage in (("color", "halo"), ("halo", "hole"), ("hole", "spots"), ("spots", "blur")):
        p = {name: value.to(DEVICE) for name, value in test_golden.neutral_but(parameters, stage).items()}
        assert (fused(stored[before], p, mask) - stored[stage] * mask).abs().max() < TOLERANCE


# --- devices ---------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
def test_on_the_device() -> None:
    """Captured in a graph and replayed on other images; 2048 pixels; more than 2**31 elements."""
    d = degrade.recipe("cofe-net-paper")
    image, mask = photograph(256, 256, 8)
    p = drawn(d, 8, 256, 256)
    call = packed_call(image, p, mask)
    fundus.degrade(call)  # compiles
    expected = fundus.degrade(replace(call, image=image.flip(0)))
    graph = torch.cuda.CUDAGraph()
    held = image.clone()
    with torch.cuda.graph(graph):
        captured = fundus.degrade(replace(call, image=held))
    held.copy_(image.flip(0))
    graph.replay()
    assert torch.equal(captured, expected)

    image, mask = photograph(2048, 2048, 4)
    p = {**drawn(d, 4, 2048, 2048), "type": torch.tensor([7, 1, 2, 4], device=DEVICE)}
    assert difference(image, p, mask).max() < TOLERANCE

    batch = 2**31 // (3 * 512 * 512) + 2
    if torch.cuda.mem_get_info()[0] > 50 * 2**30:
        image, mask = photograph(512, 512, 1)
        p = {name: value.expand(batch, *value.shape[1:]) for name, value in drawn(d, 1, 512, 512).items()}
        p = {**p, "type": torch.full((batch,), 7, device=DEVICE)}
        row = {name: value[:1] for name, value in p.items()}
        got = fused(image.half().expand(batch, -1, -1, -1), p, mask.expand(batch, -1, -1, -1))
        assert torch.equal(got[-1], fused(image.half(), row, mask)[0])


def test_importing_the_package_leaves_triton_alone() -> None:
    code = "import degrade, sys; sys.exit(any(name.startswith('degrade.triton') for name in sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_blurring_white_stays_white() -> None:
    white, mask = torch.ones(1, 3, 48, 48, device=DEVICE), torch.ones(1, 1, 48, 48, device=DEVICE)
    got = fused(white, drawn(degrade.recipe("cofe-net", type="100"), 1, 48, 48), mask)
    assert got.max() <= 1
    assert got.min() > 1 - 1e-6
    assert functional.l1_loss(got, white) < 1e-6
