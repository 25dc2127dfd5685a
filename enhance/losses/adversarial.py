"""Adversarial losses: least squares (LSGAN), and SSP-Net's two branches on logits.

All take the discriminator's raw output, no sigmoid, of any shape: one number per image or per patch. A discriminator's
step wants images detached from the generator, and a generator's step a frozen discriminator; both are the trainer's.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from enhance.losses.arguments import at_least_float32

BRANCHES = (0.6, 0.4)
"""lambda_1 and lambda_2 of SSP-Net: the branch fed with low quality, and the one fed with high quality."""


def lsgan_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """1/2 (E[(D(y) - 1)^2] + E[D(ŷ)^2]).

    Args:
        real, fake: D's output for real and for generated images; real should become 1 and generated 0.

    Returns:
        a scalar; 0.25 if D knows nothing and says one half everywhere.

    Source: Mao et al., "Least Squares Generative Adversarial Networks", ICCV 2017, as Zhao et al. (MICCAI 2019)
    use it for each of their two discriminators; the half is LSGAN's and CycleGAN's.

    >>> import torch
    >>> lsgan_discriminator(torch.tensor([0.5]), torch.tensor([0.5]))
    tensor(0.2500)
    """
    return 0.5 * ((at_least_float32(real) - 1).square().mean() + at_least_float32(fake).square().mean())


def lsgan_generator(fake: Tensor) -> Tensor:
    """E[(D(ŷ) - 1)^2].

    Args:
        fake: D's output for generated images.

    Returns:
        a scalar.

    Source: as `lsgan_discriminator`; Zhao et al. write no half here.

    >>> import torch
    >>> lsgan_generator(torch.tensor([0.0, 1.0]))
    tensor(0.5000)
    """
    return (at_least_float32(fake) - 1).square().mean()


def ssp_discriminator(
    real: Tensor, enhanced: Tensor, rebuilt: Tensor, branches: tuple[float, float] = BRANCHES
) -> Tensor:
    """lambda_1 E[-log D(I²) - log(1 - D(Î¹))] + lambda_2 E[-log D(I²) - log(1 - D(Î²))], D = sigmoid of the logits.

    Î¹ = G(low quality), Î² = G(high quality), I² the real high-quality image. The paper prints the generated image in
    both logarithms, with which nothing compares real and generated images; here the first has the real one, as usual.

    Args:
        real: logits for the real high-quality images.
        enhanced, rebuilt: logits for Î¹ and for Î².
        branches: lambda_1 and lambda_2.

    Returns:
        a scalar; 2 log 2 with the paper's weights if D knows nothing (logits 0).

    Source: Xu et al., SSP-Net, IEEE/ACM TCBB, L_GAN; as binary cross-entropy from logits, which cannot overflow.

    >>> import torch
    >>> zero = torch.zeros(2, 1, 4, 4)
    >>> ssp_discriminator(zero, zero, zero)
    tensor(1.3863)
    """
    on_real = softplus(-at_least_float32(real)).mean()
    first, second = branches
    on_enhanced, on_rebuilt = (softplus(at_least_float32(logits)).mean() for logits in (enhanced, rebuilt))
    return first * (on_real + on_enhanced) + second * (on_real + on_rebuilt)


def ssp_generator(enhanced: Tensor, rebuilt: Tensor, branches: tuple[float, float] = BRANCHES) -> Tensor:
    """lambda_1 E[-log D(Î¹)] + lambda_2 E[-log D(Î²)]: non-saturating, so that its gradient does not vanish.

    Args:
        enhanced, rebuilt: logits for Î¹ = G(low quality) and Î² = G(high quality).
        branches: lambda_1 and lambda_2.

    Returns:
        a scalar.

    Source: as `ssp_discriminator`; the form is that of Goodfellow et al., NeurIPS 2014.

    >>> import torch
    >>> ssp_generator(torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4))
    tensor(0.6931)
    """
    first, second = branches
    on_enhanced, on_rebuilt = (softplus(-at_least_float32(logits)).mean() for logits in (enhanced, rebuilt))
    return first * on_enhanced + second * on_rebuilt
