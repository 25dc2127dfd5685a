"""Training frameworks: Lightning, Fabric and Accelerate go through one epoch after another, and resume in one."""

from __future__ import annotations

import warnings

import pytest
import torch

import degrade
from degrade.stream import PairStream, RepeatedEpochWarning, StreamError

IMAGES = degrade.images.image_io.to_integer(degrade.phantom.fundus(degrade.make_keys(0, 7), 48)[0])
Seen = list[tuple[list[str], list[int]]]


def stream(**options) -> PairStream:
    return PairStream(IMAGES, "cofe-net", **{"batch_size": 2, "seed": 4, "size": 48, "crop": 32, **options})


def expected(epochs: int) -> list[Seen]:
    """Ids and keys of each batch, epoch by epoch."""
    some, found = stream(), []
    for epoch in range(epochs):
        some.set_epoch(epoch)
        found.append([(batch.ids, batch.keys.tolist()) for batch in some])
        assert all(keys == degrade.make_keys(4, ids, epoch).tolist() for ids, keys in found[-1])
    return found


# Lightning


@pytest.fixture
def lightning():
    return pytest.importorskip("lightning.pytorch", reason="needs lightning: pip install lightning")


def module(lightning, seen: Seen, validated: Seen | None = None):
    class Tiny(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.network = torch.nn.Conv2d(3, 3, 1)

        def training_step(self, batch, _):
            seen.append((batch.ids, batch.keys.tolist()))
            return (self.network(batch.degraded) - batch.clean).abs().mean()

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=1e-3)

    class Validating(Tiny):
        def validation_step(self, batch, _):
            validated.append((batch.ids, batch.degraded.flatten().tolist()))

    return Tiny() if validated is None else Validating()


def trainer(lightning, path, **options):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    options = {"enable_checkpointing": False, **options}
    return lightning.Trainer(**quiet, devices=1, default_root_dir=path, **options)


@pytest.mark.filterwarnings("error::degrade.stream.RepeatedEpochWarning")
@pytest.mark.parametrize("workers", [0, 1])
def test_lightning_advances_epochs(lightning, workers, tmp_path):
    seen: Seen = []
    trainer(lightning, tmp_path, max_epochs=3).fit(module(lightning, seen), stream(workers=workers))
    assert seen == [batch for epoch in expected(3) for batch in epoch]


@pytest.mark.parametrize("workers", [0, 1])
def test_lightning_resumes_in_an_epoch_and_between_two(lightning, workers, tmp_path):
    from lightning.pytorch.callbacks import ModelCheckpoint

    whole: Seen = []
    saving = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    options = {"max_epochs": 3, "enable_checkpointing": True, "callbacks": [saving]}
    trainer(lightning, tmp_path, **options).fit(module(lightning, whole), stream())
    assert len(whole) == 12
    files = {int(path.stem.removeprefix("step=")): path for path in tmp_path.glob("step=*.ckpt")}
    assert set(files) == set(range(1, 13))
    for step in (1, 3, 4, 5, 8, 10, 12) if workers == 0 else (2, 4):
        seen: Seen = []
        resumed = trainer(lightning, tmp_path, max_epochs=3)
        resumed.fit(module(lightning, seen), stream(workers=workers), ckpt_path=files[step])
        assert seen == whole[step:], step


@pytest.mark.filterwarnings("error::degrade.stream.RepeatedEpochWarning")
def test_lightning_validates_on_the_same_pictures_each_time(lightning, tmp_path):
    seen: Seen = []
    validated: Seen = []
    held_out = stream(shuffle=False, seed=9)
    trainer(lightning, tmp_path, max_epochs=3).fit(module(lightning, seen, validated), stream(), held_out)
    assert seen == [batch for epoch in expected(3) for batch in epoch]
    sanity, rounds = validated[:2], [validated[start : start + 4] for start in (2, 6, 10)]
    assert len(validated) == 14
    assert rounds[0] == rounds[1] == rounds[2]
    assert sanity == rounds[0][:2]
    assert held_out.epoch == 0


def test_lightning_may_leave_an_epoch_early(lightning, tmp_path):
    for options in ({"limit_train_batches": 2}, {"limit_train_batches": 2, "overfit_batches": 0}):
        seen: Seen = []
        trainer(lightning, tmp_path, max_epochs=3, **options).fit(module(lightning, seen), stream())
        assert seen == [batch for epoch in expected(3) for batch in epoch[:2]]


def test_lightning_takes_the_loader_too(lightning, tmp_path):
    seen: Seen = []
    trainer(lightning, tmp_path, max_epochs=3).fit(module(lightning, seen), stream().loader())
    assert seen == [batch for epoch in expected(3) for batch in epoch]


# Fabric


def seen_of(batches) -> Seen:
    return [(batch.ids, batch.keys.tolist()) for batch in batches]


@pytest.mark.filterwarnings("error::degrade.stream.RepeatedEpochWarning")
@pytest.mark.parametrize("workers", [0, 1])
def test_fabric_advances_epochs_and_resumes(workers):
    fabric_ = pytest.importorskip("lightning_fabric")
    fabric = fabric_.Fabric(accelerator="cpu", devices=1)
    some = stream(workers=workers)
    loader = fabric.setup_dataloaders(some.loader())
    assert len(loader) == len(some) == 4
    whole = expected(4)
    assert [seen_of(loader) for _ in range(2)] == whole[:2]
    half = iter(loader)
    first = [next(half), next(half)]
    assert seen_of(first) == whole[2][:2]
    for state in (some.state_dict(), some.loader().state_dict()):
        other = stream(workers=workers)
        other.load_state_dict(state)
        resumed = fabric.setup_dataloaders(other.loader())  # Fabric counts epochs from 0 again
        assert seen_of(resumed) == whole[2][2:]
        assert seen_of(resumed) == whole[3]
    assert seen_of(half) == whole[2][2:]
    state = some.state_dict()  # at the end of an epoch: the next one follows
    other.load_state_dict(state)
    assert seen_of(fabric.setup_dataloaders(other.loader())) == whole[3]


def test_a_loader_follows_what_it_is_told():
    some, whole = stream(), expected(4)
    loader = some.loader()
    iter(loader)  # made and never advanced, as frameworks do
    assert seen_of(loader) == whole[0]
    some.set_epoch(3)
    assert seen_of(loader) == whole[3]
    some.set_epoch(1)
    assert seen_of(loader) == whole[1]
    assert seen_of(loader) == whole[2]
    for _ in loader:
        break
    assert some.epoch == 3
    fixed = stream(shuffle=False).loader()
    assert seen_of(fixed) == seen_of(fixed)  # validation


def test_a_loader_has_no_workers_of_its_own():
    loader = stream().loader()
    assert isinstance(loader, torch.utils.data.DataLoader)
    assert loader.batch_size is None
    assert loader.num_workers == 0
    before = torch.get_rng_state()
    list(loader)
    assert torch.equal(torch.get_rng_state(), before)


# Accelerate


def test_accelerate_advances_epochs_and_resumes(tmp_path):
    accelerate = pytest.importorskip("accelerate", reason="needs accelerate: pip install accelerate")
    accelerator, whole = accelerate.Accelerator(cpu=True), expected(5)
    loader = accelerator.prepare(stream().loader())
    assert [seen_of(loader) for _ in range(3)] == whole[:3]
    half = iter(loader)
    assert seen_of([next(half), next(half)]) == whole[3][:2]
    accelerator.save_state(str(tmp_path))
    again = accelerate.Accelerator(cpu=True)
    resumed = again.prepare(stream().loader())
    again.load_state(str(tmp_path))
    assert [seen_of(resumed) for _ in range(2)] == [whole[3][2:], whole[4]]


def test_a_framework_that_would_divide_the_epoch_once_more_is_refused():
    loader = stream(rank=0, world_size=2).loader()
    again = torch.utils.data.DataLoader(loader.dataset, batch_size=None)
    with pytest.raises(StreamError, match="divides"):
        list(again)
    assert len(list(loader)) == 2


# a loop of one's own


@pytest.mark.parametrize("workers", [0, 1])
def test_a_second_pass_over_a_finished_epoch_warns_once(workers):
    some = stream(workers=workers)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = seen_of(some)
    with pytest.warns(RepeatedEpochWarning, match=r"epoch 0 .*set_epoch\(1\)") as caught:
        again = seen_of(some)
    assert again == first  # it repeats, as documented
    assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert seen_of(some) == first  # once per stream


def test_what_is_done_on_purpose_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fixed = stream(shuffle=False)
        assert seen_of(fixed) == seen_of(fixed)
        some = stream()
        for epoch in (0, 1, 1, 0):  # naming an epoch again says that it is wanted
            some.set_epoch(epoch)
            list(some)
        some.load_state_dict(stream().state_dict())
        list(some)
        some = stream()
        next(iter(some))  # left before its end
        list(some)
