"""The X-BDCNN trainer: that it learns, what its switches do, and configurations in general."""

from __future__ import annotations

import pytest
import torch

import degrade
from degrade.models.xray import noise_level_maps
from degrade.stream import open_source
from enhance.holdout import hold_out
from enhance.trainers import TRAINERS, Sources, trainer
from enhance.training import Options, train
from tests.training_samples import lines

SMALL = {"width": 8, "level_width": 16, "crop": 32, "batch_size": 8, "patches": 4, "last_rate": 1e-3}
CHEST = "phantom:chest?count=40&size=64"


def one_step(**config):
    """Losses and gradients of the first step."""
    made = trainer("xbdcnn", **(SMALL | {"batch_size": 2} | config))
    batch = next(iter(made.stream(Sources(open_source("phantom:chest?count=2&size=64")))))
    total = []

    def update(name, loss):
        assert name == "enhancer"
        total.append(loss.detach())
        loss.backward()

    losses = made.step(batch, 0, update)
    assert torch.equal(total[0], losses["total"])
    return made, batch, losses


def norm(module):
    return sum(float(weight.grad.abs().sum()) for weight in module.parameters() if weight.grad is not None)


@pytest.mark.slow
def test_it_learns(tmp_path):
    """Reference: the facts sheet, section 6(a): 24.2 -> 30.2 dB, correlation of sigma 0.83."""
    torch.set_num_threads(1)
    sources, held = hold_out(Sources(open_source(CHEST)), 0.2)
    made = trainer("xbdcnn", **SMALL, steps=250)
    train(made, sources, tmp_path, Options(devices="cpu", cache_bytes=2**28, bar=False), held_out=held.high)
    found = lines(tmp_path)[-1]["validation"]
    assert found["psnr"] >= found["degraded_psnr"] + 4
    assert found["ssim"] >= found["degraded_ssim"] + 0.1

    clean = torch.cat([degrade.phantom.chest(degrade.make_keys(9, 64), 64)[0]])
    degraded, parameters = degrade.recipe("x-bdcnn").sample(clean, degrade.make_keys(1, 64))
    with torch.no_grad():
        levels = made.network(degraded).levels
    sigma = torch.stack([levels[:, 0].mean((1, 2)), parameters["sigma"]])
    assert float(torch.corrcoef(sigma)[0, 1]) >= 0.5
    assert float((levels == 0).float().mean()) < 0.5


class TestSteps:
    def test_losses(self):
        made, _, losses = one_step()
        assert losses.keys() == {"denoising", "level", "smoothness", "total"}
        expected = losses["denoising"] + 0.5 * losses["level"] + 0.05 * losses["smoothness"]
        torch.testing.assert_close(losses["total"], expected)
        assert not losses["total"].requires_grad
        assert norm(made.network.nle) > 0
        assert norm(made.network.nbd) > 0

    def test_the_target_is_what_was_drawn(self):
        made, batch, _ = one_step()
        expected = noise_level_maps(batch.parameters, 32, 32)
        torch.testing.assert_close(made._target(batch), expected)
        assert float(batch.parameters["sigma"][0]) == pytest.approx(255 * float(made._target(batch)[0, 0, 0, 0]))

    def test_levels_in_other_units(self):
        """A recipe in units of 4095 grey levels: the same noise, the same maps."""
        recipe = degrade.recipe("x-bdcnn", levels=4095.0, sigma=160.0, eta=0.1).to_toml()
        made, batch, _ = one_step(recipe=recipe)
        torch.testing.assert_close(made._target(batch)[:, 0], torch.full((2, 32, 32), 160 / 4095))
        torch.testing.assert_close(made._target(batch)[:, 1], torch.full((2, 32, 32), (0.1 * 4095) ** -0.5))

    def test_without_level_estimation(self):
        made, _, losses = one_step(nle=False)
        assert losses.keys() == {"denoising", "total"}
        assert made.network.nle is None

    def test_without_ssim(self):
        _, _, plain = one_step(ssim_loss=False)
        _, _, whole = one_step(mse=0.4, ssim=0.0)
        torch.testing.assert_close(plain["denoising"], whole["denoising"])
        bare, both = (one_step(ssim_loss=flag, mse_grey=1)[2]["denoising"] for flag in (False, True))
        assert float(both) > 2 * float(bare)  # with the squared error on [0, 1] SSIM does the work
        torch.testing.assert_close(plain["denoising"], 255**2 * bare)

    def test_losses_on_residuals(self):
        """The squared error does not see it, SSIM does."""
        image, residual = (one_step(loss_on=on, mse=1, ssim=0)[2]["denoising"] for on in ("image", "residual"))
        torch.testing.assert_close(image, residual)
        image, residual = (one_step(loss_on=on, mse=0, ssim=1)[2]["denoising"] for on in ("image", "residual"))
        assert abs(float(image) - float(residual)) > 0.1

    def test_the_released_maps(self):
        made, batch, losses = one_step(maps="eta")
        target = made._target(batch)
        torch.testing.assert_close(target[:, 1, 0, 0], batch.parameters["eta"])
        torch.testing.assert_close(target[:, 0, 0, 0], batch.parameters["sigma"] / 255)
        assert torch.isfinite(losses["level"])

    def test_detached_levels_learn_from_their_own_loss_alone(self):
        assert norm(one_step(detach_level=True, level=0, smoothness=0)[0].network.nle) == 0
        assert norm(one_step(detach_level=False, level=0, smoothness=0)[0].network.nle) > 0
        joint, detached = one_step()[2], one_step(detach_level=True)[2]
        torch.testing.assert_close(joint, detached)  # the same values, other gradients

    def test_pixel_maps(self):
        made, batch, losses = one_step(maps="pixel")
        assert made._target(batch).shape == batch.clean.shape
        assert torch.isfinite(losses["level"])

    def test_colour(self):
        fundus = Sources(open_source("phantom:fundus?count=2&size=64"))
        made = trainer("xbdcnn", **(SMALL | {"batch_size": 2}), channels=3)
        batch = next(iter(made.stream(fundus)))
        made.step(batch, 0, lambda name, loss: loss.backward())

    def test_rates(self):
        made = trainer("xbdcnn", width=4, level_width=4, steps=10)
        assert [made.rate(step)["enhancer"] for step in (0, 4, 5, 9)] == [1e-3, 1e-3, 1e-4, 1e-4]

    def test_patches_and_windows(self):
        made = trainer("xbdcnn", **SMALL)
        stream = made.stream(Sources(open_source("phantom:chest?count=5&size=64")))
        batches = list(stream)
        assert [batch.clean.shape for batch in batches] == [(8, 1, 32, 32)] * 2  # 20 patches, whole batches only

    def test_weights_come_from_the_seed(self):
        torch.manual_seed(1)
        a = trainer("xbdcnn", **SMALL).network.state_dict()
        torch.manual_seed(2)
        b, c = (trainer("xbdcnn", **SMALL, seed=seed).network.state_dict() for seed in (0, 1))
        assert all(torch.equal(a[name], b[name]) for name in a)
        assert not torch.equal(a["nbd.last.weight"], c["nbd.last.weight"])


class TestConfigurations:
    def test_paper_defaults(self):
        config = TRAINERS["xbdcnn"].config_class()
        assert (config.batch_size, config.crop, config.mse, config.ssim, config.level, config.smoothness) == (
            32, 128, 0.4, 0.6, 0.5, 0.05,
        )  # fmt: skip

    def test_all_five(self):
        assert list(TRAINERS) == ["pcenet", "zhao", "magenet", "xbdcnn", "sspnet"]
        assert {name: TRAINERS[name].name for name in TRAINERS} == {name: name for name in TRAINERS}

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"bach_size": 4}, "unknown field 'bach_size'; did you mean batch_size?"),
            ({"batch_size": "four"}, "batch_size = 'four': allowed is a whole number"),
            ({"batch_size": True}, "batch_size = True: allowed is a whole number"),
            ({"crop": "64.5"}, "crop = '64.5': allowed is a whole number or none"),
            ({"nle": "maybe"}, "nle = 'maybe': allowed is true or false"),
            ({"maps": "level"}, "maps = 'level': allowed is 'levels' or 'eta' or 'pixel'"),
            ({"size": "1,2,3"}, "allowed is a whole number or 2 times a whole number or none"),
            ({"mse": "nan"}, "mse = 'nan': allowed is a number"),
            ({"recipe": "cofe-net"}, "learns the levels of Poisson-Gaussian noise"),
        ],
    )
    def test_wrong_fields(self, fields, message):
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            trainer("xbdcnn", **fields)
        assert message in str(caught.value)

    def test_text(self):
        config = trainer("xbdcnn", **SMALL, size="64, 96", clip="1", nle="False").config
        assert (config.size, config.clip, config.nle) == ((64, 96), 1.0, False)

    def test_unknown_trainer(self):
        with pytest.raises(ValueError, match=r"unknown trainer 'xbdnn'; did you mean xbdcnn\?"):
            trainer("xbdnn")
