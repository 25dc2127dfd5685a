"""NIQE: distance between patch statistics of an image and of good images of the same kind."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Iterable
from dataclasses import dataclass
from zipfile import ZipFile

import torch
from torch import Tensor

from degrade.files import write_bytes
from enhance.metrics.arguments import check_image
from enhance.metrics.patches import FEATURES, patch_features

PATCH = 96
SMALLEST = 16
_LARGEST = 1 << 20  # bytes; a model has eleven thousand
SHARP = 0.75
"""Only patches sharper than this share of the sharpest of their image are fitted."""


@dataclass(frozen=True)
class NiqeModel:
    """Mean and covariance of the patch features of good images, and the side of the patches.

    mean (36,), covariance (36, 36), float64; patch in pixels.
    """

    mean: Tensor
    covariance: Tensor
    patch: int

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model as a NumPy archive (.npz) of three plain arrays, atomically."""
        import numpy as np

        mean, covariance = self.mean.cpu().numpy(), self.covariance.cpu().numpy()
        file = io.BytesIO()
        np.savez(file, mean=mean, covariance=covariance, patch=np.int64(self.patch))
        write_bytes(path, file.getvalue())

    @classmethod
    def published(cls, path: str | os.PathLike[str]) -> NiqeModel:
        """Import the authors' model: their modelparameters.mat (which needs SciPy), or a NumPy archive made of it.

        The names are mu_prisparam and cov_prisparam, in archives of other packages mu_pris_param and cov_pris_param;
        patches are of 96 pixels. It was fitted to photographs of landscapes and towns: docs/metrics.md says what that
        means for medical images.

        Raises:
            OSError: the file cannot be read.
            ValueError: it has no such model.
            ModuleNotFoundError: SciPy is not installed.
        """
        import numpy as np

        name = os.fspath(path)
        with open(path, "rb") as file:
            data = io.BytesIO(file.read(_LARGEST))
        if name.endswith(".mat"):
            try:
                from scipy.io import loadmat
            except ModuleNotFoundError:
                raise ModuleNotFoundError(".mat files need SciPy: pip install 'degrade-enhance[testing]'") from None
        try:
            if name.endswith(".mat"):
                arrays = {key: value for key, value in loadmat(data).items() if not key.startswith("__")}
            else:
                with np.load(data, allow_pickle=False) as archive:
                    arrays = {key: archive[key] for key in archive.files if archive[key].ndim <= 2}
        except Exception as error:  # NumPy's, SciPy's and zipfile's errors are of a dozen kinds
            raise ValueError(f"{name} is no published NIQE model: {' '.join(str(error).split())}") from None
        spelled = {key.replace("_", ""): value for key, value in arrays.items()}
        if not {"muprisparam", "covprisparam"} <= spelled.keys():
            raise ValueError(f"{name} is no published NIQE model: it has {', '.join(arrays) or 'nothing'}")
        mean, covariance = (
            torch.from_numpy(np.asarray(spelled[key]).astype("f8")) for key in ("muprisparam", "covprisparam")
        )
        if mean.numel() != FEATURES or covariance.shape != (FEATURES, FEATURES):
            raise ValueError(f"{name} is no published NIQE model: its mean has {mean.numel()} numbers, not {FEATURES}")
        return cls(mean.flatten(), covariance, PATCH)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> NiqeModel:
        """Read a file of `save`; nothing in it is executed, and no more memory is used than a model needs.

        Raises:
            OSError: the file cannot be read.
            ValueError: the file is not such an archive.
        """
        import numpy as np

        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
        try:
            with ZipFile(io.BytesIO(data)) as archive:
                if len(data) + sum(entry.file_size for entry in archive.infolist()) > _LARGEST:
                    raise ValueError("it is larger than any model")
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                mean, covariance = (torch.from_numpy(arrays[name].astype("f8")) for name in ("mean", "covariance"))
                patch = int(arrays["patch"])
        except Exception as error:  # NumPy's and zipfile's errors for damaged archives are of a dozen kinds
            raise ValueError(f"{path} is not a NIQE model: {' '.join(str(error).split())}") from error
        if mean.shape != (FEATURES,) or covariance.shape != (FEATURES, FEATURES) or patch < SMALLEST or patch % 2:
            raise ValueError(
                f"{path} is not a NIQE model: mean {tuple(mean.shape)}, covariance {tuple(covariance.shape)}, "
                f"patch {patch}"
            )
        return cls(mean, covariance, patch)


def fit_niqe(
    images: Tensor | Iterable[Tensor], masks: Tensor | Iterable[Tensor] | None = None, patch: int = PATCH
) -> NiqeModel:
    """Fit the statistics of good images: mean and covariance of the features of their sharp patches.

    Args:
        images: (B, C, H, W) in [0, 1], C = 1 or 3, or an iterable of such batches, whose sizes may differ.
        masks: (B, 1, H, W) for each, or none.
        patch: side of the patches in pixels, even, from 16. 96 is the paper's, for photographs; small images want
            less.

    Returns:
        the model, on the CPU.

    Raises:
        ValueError: fewer patches than features are sharp and inside, or an argument is not as above.

    >>> good = torch.nn.functional.avg_pool2d(torch.rand(2, 1, 202, 202), 3, 1)
    >>> model = fit_niqe(good, patch=16)
    >>> bool((niqe(good, model) < niqe(torch.rand_like(good), model)).all())
    True
    """
    if patch < SMALLEST or patch % 2:
        raise ValueError(f"patch = {patch}: allowed are even numbers from {SMALLEST}")
    batches = [images] if isinstance(images, Tensor) else images
    fields: Iterable[Tensor | None] = itertools.repeat(None)
    if masks is not None:
        fields = [masks] if isinstance(masks, Tensor) else masks
    kept = []
    for image, field in zip(batches, fields, strict=masks is not None):
        check_image("images", image, patch)
        features, sharpness, usable = patch_features(image, field, patch)
        sharpest = (sharpness * usable).amax(dim=1, keepdim=True)
        kept.append(features[usable & (sharpness > SHARP * sharpest)].cpu())
    rows = torch.cat(kept) if kept else torch.zeros(0, FEATURES, device="cpu")
    if len(rows) <= FEATURES:
        raise ValueError(
            f"images give {len(rows)} sharp patches of {patch} x {patch}; more than {FEATURES} are needed: "
            "give more or larger images, or a smaller patch"
        )
    return NiqeModel(rows.mean(dim=0), rows.T.cov(), patch)


def niqe(image: Tensor, model: NiqeModel, mask: Tensor | None = None) -> Tensor:
    """Natural image quality evaluator: sqrt((m - n)' ((S + T) / 2)^-1 (m - n)); lower is better.

    m, S are the model's mean and covariance, n, T those of the features of the image's patches (see
    `patches.patch_features`).

    Setting: grey levels of 0..255, RGB as its ITU-R 601 luma, not rounded; patches side by side from the upper left
    corner; patches without contrast left out. The covariance of few patches is a poor one: with less than about ten
    patches (at 96 pixels: sides below 300) scores are high and scatter. Only scores of one model and one image size
    compare.

    Args:
        image: (B, C, H, W) in [0, 1], C = 1 or 3, H and W at least `model.patch`.
        model: from `fit_niqe` or `NiqeModel.load`; fit it on good images of the kind and size to be judged. There is
            none by default: the statistics of other pictures mislead, see docs/metrics.md.
        mask: (B, 1, H, W); only patches count that are inside (at least 0.5), with a margin of 10 pixels, as far as
            windows reach.

    Returns:
        (B,), float64; nan where no patch counts.

    Source: Mittal, Soundararajan and Bovik, "Making a Completely Blind Image Quality Analyzer", IEEE SPL 20(3), 2013.
    """
    check_image("image", image, model.patch)
    features, _, usable = patch_features(image, mask, model.patch)
    weight = usable.to(features.dtype)[..., None]
    count = weight.sum(dim=1)
    mean = (weight * features).sum(dim=1) / count
    centered = (features - mean[:, None]) * weight
    covariance = centered.transpose(1, 2) @ centered / (count - 1).clamp_min(1)[..., None]
    distance = mean - model.mean.to(mean)
    undefined = count[:, 0] == 0
    both = (covariance + model.covariance.to(mean)) / 2
    both = torch.where(undefined[:, None, None], torch.eye(FEATURES, dtype=mean.dtype, device=mean.device), both)
    inverse: Tensor = torch.linalg.pinv(both, hermitian=True)
    return (distance[:, None] @ inverse @ distance[..., None])[:, 0, 0].clamp_min(0).sqrt()
