"""Noise with planted defects: what the checks must reject."""

from __future__ import annotations

import torch
from torch import Tensor

from degrade import fold_in, make_keys
from degrade.models.poisson_gaussian import reference as pixel_noise
from degrade.testing.checks import NoiseFunction


def right(eta: float, sigma: float) -> NoiseFunction:
    """The model itself, on [0, 1], not clipped."""

    def noise(image: Tensor, keys: Tensor) -> Tensor:
        ones = torch.ones(len(image), dtype=image.dtype)
        return pixel_noise.noisy(image, eta * 255 * ones, sigma / 255 * ones, keys)

    return noise


def normal_approximation(eta: float, sigma: float, whole: bool = False) -> NoiseFunction:
    """The right mean and variance, but normal; rounded to counts if `whole`."""

    def noise(image: Tensor, keys: Tensor) -> Tensor:
        ones = torch.ones(len(image))
        z = pixel_noise.noisy(torch.zeros_like(image), ones, ones, keys)
        counts = eta * 255 * image + (eta * 255 * image).sqrt() * z
        counts = counts.round().clamp_min(0) if whole else counts
        return counts / (eta * 255) + (right(eta, sigma)(image * 0, fold_in(keys, 1)) if sigma else 0)

    return noise


def variance_off(eta: float, sigma: float, factor: float = 1.02) -> NoiseFunction:
    """The variance is 2 % too large."""
    return lambda image, keys: image + factor**0.5 * (right(eta, sigma)(image, keys) - image)


def eta_on_the_wrong_side(eta: float, sigma: float) -> NoiseFunction:
    """eta Poisson(g / eta) instead of Poisson(eta g) / eta."""
    return right(1 / eta, sigma)


def sigma_in_photons(eta: float, sigma: float) -> NoiseFunction:
    """sigma added before the division by eta."""
    return right(eta, sigma / eta)


def offset(eta: float, sigma: float) -> NoiseFunction:
    """Half a photon too much: rounding up instead of to nearest."""
    return lambda image, keys: right(eta, sigma)(image, keys) + 0.5 / (255 * eta)


def uniform_electronics(eta: float, sigma: float) -> NoiseFunction:
    """Electronic noise that is uniform, with the right variance."""

    def noise(image: Tensor, keys: Tensor) -> Tensor:
        z = pixel_noise.noisy(torch.zeros_like(image), torch.ones(len(image)), torch.ones(len(image)), keys)
        u = (torch.special.ndtr(z) - 0.5) * 12**0.5
        return right(eta, 0.0)(image, fold_in(keys, 1)) + sigma / 255 * u

    return noise


MODEL = right(0.5, 5.0)


def shared_across_the_batch(image: Tensor, keys: Tensor) -> Tensor:
    """One noise for all samples."""
    return MODEL(image, keys[:1].expand_as(keys).contiguous())


def shared_across_channels(image: Tensor, keys: Tensor) -> Tensor:
    """One noise for all channels."""
    return image + (MODEL(image[:, :1], keys) - image[:, :1])


def repeated_stream(image: Tensor, keys: Tensor) -> Tensor:
    """The lower half of the frame has the noise of the upper half."""
    half = image.shape[-2] // 2
    upper = MODEL(image[..., :half, :], keys)
    return torch.cat((upper, upper, image[..., 2 * half :, :]), dim=-2)


def repeated_columns(image: Tensor, keys: Tensor) -> Tensor:
    """The right half has the noise of the left half."""
    return repeated_stream(image.mT, keys).mT


def smoothed(image: Tensor, keys: Tensor) -> Tensor:
    """A pixel shares a twentieth of its noise with its neighbour to the left, above, and across."""
    noise = MODEL(image, keys) - image
    return image + noise + 0.05 * (noise.roll(1, -1) + noise.roll(1, -2) + noise.roll((1, 1), (-2, -1)))


def key_cut_to_its_upper_half(image: Tensor, keys: Tensor) -> Tensor:
    """Adjacent keys give the same noise."""
    return MODEL(image, keys >> 8 << 8)


def antithetic_neighbours(image: Tensor, keys: Tensor) -> Tensor:
    """Odd keys give the negative of the noise of the even key before."""
    sign = 1 - 2 * (keys & 1).view(-1, 1, 1, 1)
    return image + sign * (MODEL(image, keys & ~1) - image)


def view_forgotten(image: Tensor, keys: Tensor) -> Tensor:
    """Views, epochs and seeds do not matter: the noise comes from the position in the batch."""
    return MODEL(image, make_keys(99, len(image)))


def from_the_global_generator(image: Tensor, keys: Tensor) -> Tensor:
    """Not keyed at all."""
    return image + torch.randn_like(image)


def from_a_reseeded_generator(image: Tensor, keys: Tensor) -> Tensor:
    """Repeatable, but one generator for the whole batch; and torch's global one is reseeded."""
    torch.manual_seed(int(keys[0]) & 0xFFFF)
    return image + torch.randn_like(image)


def in_place(image: Tensor, keys: Tensor) -> Tensor:
    """Writes over its input."""
    return image.copy_(MODEL(image, keys).clamp(0, 1))
