"""The adapters: the same degradation inside kornia's and torchvision's pipelines."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
import torch
from PIL import Image

import degrade


@pytest.fixture(scope="module")
def images():
    return degrade.phantom.fundus(degrade.make_keys(0, 4), 64)[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", list(degrade.RECIPES))
def test_kornia_replays_from_params_alone_and_in_a_sequence(name, images):
    from kornia.augmentation import AugmentationSequential, RandomHorizontalFlip

    from degrade.adapters.kornia import KorniaDegradation

    recipe = degrade.recipe(name)
    images = images if 3 in recipe.channels else images[:, :1]
    alone = KorniaDegradation(recipe)
    degraded = alone(images)
    assert not torch.equal(degraded, images)
    assert torch.equal(alone(images, params=alone._params), degraded)
    assert not torch.equal(alone(images), degraded)
    sequence = AugmentationSequential(
        RandomHorizontalFlip(p=0.5), KorniaDegradation(recipe, p=0.7), data_keys=["input", "mask"]
    )
    image, mask = sequence(images, images[:, :1])
    again, mask_again = sequence(images, images[:, :1], params=sequence._params)
    assert torch.equal(image, again)
    assert torch.equal(mask, mask_again)


def test_kornia_gates_samples_and_shares_one_draw(images):
    from degrade.adapters.kornia import KorniaDegradation

    torch.manual_seed(0)
    gated = KorniaDegradation(degrade.recipe("cofe-net"), p=0.5)
    degraded = gated(images.repeat(8, 1, 1, 1))
    touched = (degraded != images.repeat(8, 1, 1, 1)).flatten(1).any(1)
    assert torch.equal(touched, gated._params["batch_prob"] > 0.5)
    assert 4 < int(touched.sum()) < 28
    shared = KorniaDegradation(degrade.recipe("cofe-net-paper"), same_on_batch=True)
    same = shared(images[:1].repeat(3, 1, 1, 1))
    assert torch.equal(same[0], same[1])
    assert torch.equal(same[0], same[2])


def test_kornia_gradients_reach_the_image(images):
    from degrade.adapters.kornia import KorniaDegradation

    image = images.clone().requires_grad_()
    KorniaDegradation(degrade.recipe("cataract"))(image).sum().backward()
    assert image.grad is not None
    assert bool(image.grad.abs().sum() > 0)


def test_degrade_imports_none_of_the_libraries():
    libraries = ["kornia", "torchvision", "monai", "torchio", "albumentations", "matplotlib"]
    code = f"import degrade, sys; assert not set({libraries}) & set(sys.modules), 'imported'"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("library", ["torchvision", "monai", "torchio", "albumentations"])
def test_adapters_say_what_to_install(library, monkeypatch):
    for name in list(sys.modules):
        if name.startswith((f"{library}.", f"degrade.adapters.{library}")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)  # as if it were not installed
    with pytest.raises(ModuleNotFoundError, match=f"pip install {library}"):
        importlib.import_module(f"degrade.adapters.{library}")


def test_torchvision_keeps_types_and_passes_masks_through(images):
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    from degrade.adapters.torchvision import TorchvisionDegradation

    transform = TorchvisionDegradation(degrade.recipe("cofe-net", type="111"))
    whole = degrade.images.image_io.to_integer(images)
    torch.manual_seed(1)
    degraded = transform(whole)
    assert degraded.dtype == torch.uint8
    assert not torch.equal(degraded, whole)
    torch.manual_seed(1)
    keys = degrade.rng.keyed.random_keys(4, torch.device("cpu"))
    expected = transform.recipe(degrade.images.image_io.to_float(whole), keys)
    assert torch.equal(degraded, degrade.images.image_io.to_integer(expected))
    assert transform(images[0]).shape == (3, 64, 64)
    picture = Image.fromarray(whole[0].permute(1, 2, 0).numpy())
    assert transform(picture).size == (64, 64)
    with pytest.raises(ValueError, match="mode P cannot come back"):
        transform(picture.quantize(8))
    sample = {"image": tv_tensors.Image(whole[0]), "mask": tv_tensors.Mask(whole[0, :1]), "label": 3}
    out = v2.Compose([v2.RandomHorizontalFlip(1.0), transform])(sample)
    assert isinstance(out["image"], tv_tensors.Image)
    assert torch.equal(out["mask"], sample["mask"].flip(-1))
    assert out["label"] == 3
