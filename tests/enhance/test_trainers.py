"""What holds for every trainer: repeatable, resumable, each network updated by its own optimizer alone."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace

import pytest
import torch

import enhance
from enhance.networks.base import EnhancementNetwork
from enhance.trainers.base import Sources
from enhance.trainers.pool import ImagePool
from enhance.trainers.schedules import cosine, linear_decay, warm_up_then_halve
from enhance.trainers.seeding import seeded
from tests.trainer_runs import TINY, Plain, sources_of, train

each = pytest.mark.parametrize("name", list(TINY))
gans = pytest.mark.parametrize("name", ["zhao", "sspnet"])


def tiny(name, **changes):
    kind, config = TINY[name]
    return kind(replace(config, **changes))


def weights(module):
    return {name: weight.clone() for name, weight in module.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
@each
def test_same_seed_same_losses(name):
    runs = [train(trainer, sources_of(trainer), stop=3) for trainer in (tiny(name), tiny(name))]
    assert len(runs[0]) == 3
    assert runs[0] == runs[1]
    other = tiny(name, seed=1)
    assert train(other, sources_of(other), stop=1) != runs[0][:1]


@each
def test_torch_generator_is_left_alone(name):
    batch = next(iter(tiny(name).stream(sources_of(tiny(name)))))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    trainer = tiny(name)
    trainer.step(batch, 0, Plain(trainer))
    assert torch.equal(torch.get_rng_state(), before)


@each
def test_resuming_gives_the_same_weights(name):
    whole = tiny(name)
    train(whole, sources_of(whole))
    first, second = tiny(name), tiny(name, seed=0)
    train(first, sources_of(first), stop=3)
    second.networks.load_state_dict(weights(first.networks))
    for key, optimizer in second.optimizers.items():
        optimizer.load_state_dict(first.optimizers[key].state_dict())
    second.load_state(first.state())
    train(second, sources_of(second), start=3)
    assert same(weights(second.networks), weights(whole.networks))
    assert str(second.state()) == str(whole.state())


@each
def test_everything_trained_is_saved_and_enhances(name):
    trainer = tiny(name)
    saved = {id(weight) for weight in trainer.networks.parameters()}
    assert all(id(weight) in saved for key in trainer.optimizers for weight in trainer.parameters(key))
    assert isinstance(trainer.enhancer, EnhancementNetwork)
    assert type(trainer.enhancer) is enhance.NETWORKS[trainer.name]
    image = torch.rand(1, trainer.config.channels, 37, 70)
    with torch.no_grad():
        assert trainer.enhancer.enhance(image).shape == image.shape


@each
def test_mixed_precision(name):
    trainer = tiny(name)
    batch = next(iter(trainer.stream(sources_of(trainer))))
    with torch.autocast("cpu", torch.bfloat16):
        for number in range(3):
            losses = trainer.step(batch, number, Plain(trainer))
    assert all(loss.isfinite() and loss.ndim == 0 and not loss.requires_grad for loss in losses.values())
    assert all(weight.isfinite().all() for weight in trainer.networks.parameters())


@each
def test_channels(name):
    trainer = tiny(name, channels=4 - tiny(name).config.channels)
    assert trainer.enhancer.channels == trainer.config.channels


@each
def test_length_follows_from_epochs_and_images(name):
    trainer = tiny(name, steps=0, epochs=3)
    stream = trainer.stream(sources_of(trainer))
    assert trainer.config.steps == 3 * len(stream) > 0
    fixed = tiny(name, steps=5, epochs=3)
    fixed.stream(sources_of(fixed))
    assert fixed.config.steps == 5
    assert type(trainer.config)().steps == 0


@each
def test_rates(name):
    trainer = tiny(name)
    rates = trainer.rate(0)
    assert set(rates) == set(trainer.optimizers)
    last = trainer.rate(trainer.config.steps - 1)
    if name != "sspnet":
        assert all(0 <= last[key] < rates[key] for key in rates)


@each
def test_every_field_is_documented(name):
    kind = tiny(name).config_class
    text = kind.__doc__ + kind.__mro__[1].__doc__
    for field in fields(kind):
        assert f"{field.name}:" in text or f"{field.name}," in text or f", {field.name}" in text, field.name
    with pytest.raises(FrozenInstanceError):
        tiny(name).config.steps = 1


@gans
def test_each_optimizer_updates_its_own_networks(name):
    """And no gradient is left on the frozen ones, nor do they stay frozen."""
    trainer = tiny(name)
    judges = [net for key, net in trainer.networks.items() if key.startswith("judge")]
    makers = [net for key, net in trainer.networks.items() if not key.startswith("judge")]
    own = {"generator": makers, "discriminator": judges}
    plain, order = Plain(trainer), []

    def update(which, loss):
        other = own["discriminator" if which == "generator" else "generator"]
        for net in (*makers, *judges):
            net.zero_grad()
        before = [weights(net) for net in other], [weights(net) for net in own[which]]
        plain(which, loss)
        assert all(same(weights(net), old) for net, old in zip(other, before[0], strict=True))
        assert not any(same(weights(net), old) for net, old in zip(own[which], before[1], strict=True))
        assert all(weight.grad is None for net in other for weight in net.parameters())
        order.append(which)

    train(trainer, sources_of(trainer), stop=1, updater=update)
    assert order == ["generator", "discriminator"]
    assert all(weight.requires_grad for net in (*makers, *judges) for weight in net.parameters())


@gans
def test_needs_bad_images(name):
    trainer = tiny(name)
    assert trainer.needs_low == "must"
    with pytest.raises(ValueError, match="low = None"):
        trainer.stream(Sources(sources_of(trainer).high))


class TestImagePool:
    def test_size_0_gives_back_what_comes(self):
        images = torch.rand(2, 3, 8, 8, requires_grad=True)
        result = ImagePool(0)(images)
        assert torch.equal(result, images)
        assert not result.requires_grad

    def test_fills_then_swaps_half(self):
        pool, seen = ImagePool(10), torch.arange(400.0).reshape(400, 1, 1, 1)
        first = torch.cat([pool(seen[n : n + 2]) for n in range(0, 10, 2)])
        assert torch.equal(first, seen[:10])
        later = torch.cat([pool(seen[n : n + 2]) for n in range(10, 400, 2)])
        swapped = (later != seen[10:]).float().mean()
        assert 0.4 < swapped < 0.6
        assert len(pool) == 10
        assert len(set(later.flatten().tolist())) == len(later)  # an image leaves once

    def test_keeps_copies(self):
        pool, images = ImagePool(2), torch.zeros(2, 1, 4, 4)
        pool(images)
        images += 1
        assert not pool.state()["images"].any()

    def test_state_survives_a_file(self, tmp_path):
        pool, other = ImagePool(3, seed=1), ImagePool(3, seed=2)
        for n in range(5):
            pool(torch.full((2, 1, 4, 4), float(n)))
        torch.save(pool.state(), tmp_path / "pool.pt")
        other.load_state(torch.load(tmp_path / "pool.pt", weights_only=True))
        for n in range(5, 15):
            images = torch.full((2, 1, 4, 4), float(n))
            assert torch.equal(pool(images), other(images))

    def test_state_of_an_empty_one(self):
        pool, other = ImagePool(3, seed=1), ImagePool(3)
        other.load_state(pool.state())
        assert len(other) == 0

    def test_refuses(self):
        with pytest.raises(ValueError, match="pool = -1"):
            ImagePool(-1)
        full = ImagePool(3)
        full(torch.zeros(3, 1, 4, 4))
        with pytest.raises(ValueError, match="holds 3 images"):
            ImagePool(2).load_state(full.state())


def test_schedules():
    assert linear_decay(2.0, 99, 100, 0.0) == 2.0
    assert linear_decay(2.0, 74, 100, 0.25) == 2.0
    assert linear_decay(2.0, 99, 100, 0.25) == pytest.approx(2.0 / 25)
    assert cosine(1.0, 0.1, 0, 1) == 1.0
    assert cosine(1.0, 0.1, 99, 100) == pytest.approx(0.1)
    assert [warm_up_then_halve(4.0, 1.0, n, 3, 10) for n in (0, 1, 3, 9, 10, 20)] == [1.0, 2.0, 4.0, 4.0, 2.0, 1.0]
    assert warm_up_then_halve(4.0, 1.0, 0, 0, 10) == 4.0


def test_seeded_restores_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="width"), seeded(3):
        torch.nn.Linear(2, enhance.network("zhao", width=0).channels)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_former_name_of_the_optimizers_still_works():
    """Trainers of users' own set it."""
    trainer = tiny("pcenet")
    optimizers = dict(trainer.optimizers)
    with pytest.warns(DeprecationWarning, match="now called optimizers"):
        trainer.optimisers = optimizers
    assert trainer.optimizers is optimizers
    with pytest.warns(DeprecationWarning, match="now called optimizers"):
        assert trainer.optimisers is optimizers
