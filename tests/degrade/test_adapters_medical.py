"""The adapters for MONAI, TorchIO and albumentations, in pipelines of the real packages where they are installed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import degrade
from degrade.images import image_io

RECIPE = degrade.recipe("cofe-net", type="111")


@pytest.fixture(scope="module")
def image():
    """(3, 40, 48) uint8."""
    made = degrade.phantom.fundus(degrade.make_keys(0, 1), 48)[0][0, :, 4:44]
    return image_io.to_integer(made)


def with_id(image, seed, id_):
    return degrade.degrade(image, RECIPE, seed=seed, id=id_)


@pytest.fixture
def monai():
    pytest.importorskip("monai", reason="monai is not installed")
    return pytest.importorskip("degrade.adapters.monai")


def test_monai_repeats_from_its_random_state(monai, image):
    from monai.transforms import Compose, RandFlipd

    pipeline = Compose([RandFlipd(["image"], 0.5), monai.MonaiDegradation(["image"], RECIPE, prob=0.7)])
    pipeline.set_random_state(seed=3)
    first = [pipeline({"image": image, "label": 1}) for _ in range(12)]
    pipeline.set_random_state(seed=3)
    again = [pipeline({"image": image, "label": 1}) for _ in range(12)]
    for one, two in zip(first, again, strict=True):
        assert torch.equal(torch.as_tensor(one["image"]), torch.as_tensor(two["image"]))
        assert one["label"] == 1
    made = [torch.as_tensor(x["image"]) for x in first]
    changed = [not any(torch.equal(x, kept) for kept in (image, image.flip(1, 2))) for x in made]
    assert 4 <= sum(changed) < 12
    assert len({bytes(x.numpy()) for x in made}) > 4


def test_monai_degrades_by_id(monai, image):
    from monai.data import MetaTensor

    transform = monai.MonaiDegradation(["image", "second"], RECIPE, id_key="id", seed=5, allow_missing_keys=True)
    want = with_id(image, 5, "left/01")
    given = MetaTensor(image, meta={"filename_or_obj": "left.png"})
    for _ in range(2):
        made = transform({"image": given, "id": "left/01"})["image"]
        assert isinstance(made, MetaTensor)
        assert made.meta["filename_or_obj"] == "left.png"
        assert made.dtype == torch.uint8
        assert torch.equal(made.as_tensor(), want)
    arrays = transform({"image": image.numpy(), "second": image_io.to_float(image), "id": "left/01"})
    assert np.array_equal(arrays["image"], want.numpy())
    assert torch.equal(image_io.to_integer(arrays["second"]), want)
    with pytest.raises(KeyError, match="id"):
        transform({"image": image})
    with pytest.raises(KeyError, match="image"):
        monai.MonaiDegradation("image", "cofe-net")({})


@pytest.fixture
def torchio():
    pytest.importorskip("torchio", reason="torchio is not installed")
    return pytest.importorskip("degrade.adapters.torchio")


def test_torchio_degrades_subjects_and_repeats_from_their_history(torchio, image):
    import torchio as tio

    slices = image.permute(0, 2, 1)[..., None]  # (C, W, H, D)
    subject = tio.Subject(
        photograph=tio.ScalarImage(tensor=slices),
        volume=tio.ScalarImage(tensor=slices.expand(-1, -1, -1, 3).float() / 255),
        label=tio.LabelMap(tensor=slices[:1]),
    )
    transform = tio.Compose([tio.RandomFlip(axes=(0,)), torchio.TorchioDegradation(RECIPE)])
    torch.manual_seed(0)
    made = transform(subject)
    torch.manual_seed(0)
    again = transform(subject)
    other = transform(subject)
    assert made.photograph.data.dtype == torch.uint8
    for name in ("photograph", "volume"):
        assert torch.equal(made[name].data, again[name].data)
        assert torch.equal(made[name].data, made.get_composed_history()(subject)[name].data)
        assert not torch.equal(made[name].data, other[name].data)
        assert not torch.equal(made[name].data, subject[name].data)
    assert sorted(made.label.data.unique()) == sorted(subject.label.data.unique())
    volume = made.volume.data
    assert not torch.equal(volume[..., 0], volume[..., 1])


def test_torchio_degrades_with_a_key(torchio, image):
    import torchio as tio

    key = int(degrade.make_keys(5, ["left/01"]))
    subject = tio.Subject(photograph=tio.ScalarImage(tensor=image.permute(0, 2, 1)[..., None]))
    made = torchio.KeyedTorchioDegradation(RECIPE, key)(subject)
    assert torch.equal(made.photograph.data[..., 0].permute(0, 2, 1), with_id(image, 5, "left/01"))


@pytest.fixture
def albumentations(monkeypatch):
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
    pytest.importorskip("albumentations", reason="albumentations is not installed")
    return pytest.importorskip("degrade.adapters.albumentations")


@pytest.mark.parametrize("kind", ["uint8", "float32", "grey"])
def test_albumentations_repeats_from_its_seed_and_replays(albumentations, image, kind):
    import albumentations as A

    given = image.permute(1, 2, 0).numpy()
    given = given[..., 0] if kind == "grey" else given
    given = given.astype(np.float32) / 255 if kind == "float32" else given

    def pipeline():
        return A.Compose([A.HorizontalFlip(p=0.5), albumentations.AlbumentationsDegradation(RECIPE)], seed=3)

    mask = given if kind == "grey" else given[..., 0]
    one, two = pipeline(), pipeline()
    first = [one(image=given, mask=mask) for _ in range(3)]
    again = [two(image=given, mask=mask) for _ in range(3)]
    for made, same in zip(first, again, strict=True):
        assert made["image"].dtype == given.dtype
        assert made["image"].shape == given.shape
        assert np.array_equal(made["image"], same["image"])
        assert any(np.array_equal(made["mask"], side) for side in (mask, mask[:, ::-1]))
    assert not np.array_equal(first[0]["image"], first[1]["image"])
    replay = A.ReplayCompose([albumentations.AlbumentationsDegradation("cofe-net")])
    made = replay(image=given)
    assert np.array_equal(A.ReplayCompose.replay(made["replay"], image=given)["image"], made["image"])


def test_albumentations_serializes_names(albumentations, image):
    import albumentations as A

    transform = A.Compose([albumentations.AlbumentationsDegradation("cofe-net")], seed=1)
    again = A.from_dict(A.to_dict(transform))
    given = image.permute(1, 2, 0).numpy()
    again.set_random_seed(1)
    assert np.array_equal(again(image=given)["image"], transform(image=given)["image"])


def test_albumentations_draws_the_key_that_it_reports(albumentations, image):
    transform = albumentations.AlbumentationsDegradation(RECIPE)
    key = transform.get_params()["degrade_key"]
    made = transform.apply(image.permute(1, 2, 0).numpy(), degrade_key=key)
    floats = RECIPE(image_io.to_float(image)[None], torch.tensor([key]))[0]
    assert np.array_equal(made, image_io.to_integer(floats).permute(1, 2, 0).numpy())
