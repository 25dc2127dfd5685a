"""Single stages of ours against the nearest single operation of other libraries, float32, on the same images.

Blur and color are the same operation everywhere and the table says how far apart the pictures are. Noise has the same
sampling. Models with no counterpart anywhere, and the field of view, stand beside a copy of the same batch. Halo, hole
and spots have no counterpart either: albumentations' RandomSunFlare and Spatter, kornia's
RandomGaussianIllumination and their like draw other things, so that their times would say nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

import degrade
from benchmarks import peers
from benchmarks.peers import Make
from benchmarks.samples import fundus
from benchmarks.timing import Row, measure, set_threads
from degrade import fov
from degrade.ops.constants import REFERENCE_SIDE

TAPS, SIGMA = 7, 10 / REFERENCE_SIDE
BRIGHTNESS, CONTRAST, SATURATION = 1.1, 0.8, 1.2
DEVIATION = 0.05
NO_PEER = "none: no library has this operation"
OURS, COPY = "ours", "copy of the batch"

Arrays = list[np.ndarray[Any, Any]]
Others = Callable[[Tensor, Arrays], dict[str, Make]]


def stages(size: int = 512, batch: int = 16, rounds: int = 9, device: str = "cpu") -> list[Row]:
    """Milliseconds an image: each stage alone, all that do it interleaved. Libraries for single images loop over them.

    Libraries are given what they work on best: tensors on the device, or contiguous arrays (H, W, C).
    """
    set_threads(torch.get_num_threads())
    image, mask, keys = fundus(batch, size, device)
    whole = torch.ones_like(mask)
    arrays = [np.ascontiguousarray(one.permute(1, 2, 0).cpu().numpy()) for one in image] if device == "cpu" else []
    d = degrade.recipe("cofe-net", noise=DEVIATION)
    rows = []
    for stage, p in d.stages(d.draw(keys, size, size)).items():
        fixed = {**p, **{name: torch.full_like(p[name], value) for name, value in _fixed(stage, size).items()}}
        ours = partial(d.apply, image, fixed, whole)
        others = OTHERS[stage](image, arrays) if stage in OTHERS else {NO_PEER: _nobody}
        others = {name: peers.tried(make) for name, make in others.items()}
        rows += _rows(stage, {OURS: _made(ours), **others}, batch, rounds, device)
    for name, call, given in _whole(image, mask, keys):
        rows += _rows(
            name, {OURS: _made(call), COPY: _made(partial(torch.empty_like(given).copy_, given))}, batch, rounds, device
        )
    return rows


def _whole(image: Tensor, mask: Tensor, keys: Tensor) -> list[tuple[str, peers.Call, Tensor]]:
    """What is timed against a copy: names, calls, and what is copied."""
    grey = image[:, 1:2].contiguous()
    cornea, cataract = degrade.recipe("cornea"), degrade.recipe("cataract")
    return [
        ("cornea, grey", partial(cornea, grey, keys), grey),
        ("cataract", partial(cataract, image, keys, mask), image),
        ("field of view", partial(fov.estimate, image), image),
    ]


def _made(call: peers.Call) -> Make:
    return lambda: call


def _fixed(stage: str, size: int) -> dict[str, float]:
    """The parameters that all libraries share, on images of this size."""
    if stage == "blur":  # the kernel's size is scaled by its variance, see degrade.ops.blur
        size_of = ((TAPS**2 - 1) / size**2 + REFERENCE_SIDE**-2) ** 0.5
        return {"blur_kernel": size_of, "blur_sigma": SIGMA}
    if stage == "colour":
        return {"brightness": BRIGHTNESS, "contrast": CONTRAST, "saturation": SATURATION}
    if stage == "noise":
        return {"noise": DEVIATION * REFERENCE_SIDE / size}
    return {}


def _rows(stage: str, candidates: dict[str, Make], batch: int, rounds: int, device: str) -> list[Row]:
    calls, reasons = peers.ready(candidates)
    same = stage != "noise" and COPY not in candidates
    results = {name: _batch(call()) for name, call in calls.items()} if same else {}
    seconds = measure(calls, rounds, device=device)
    ms = {name: spread * (1e3 / batch) for name, spread in seconds.items()}
    fastest = min((ms[name].median for name in ms if name != OURS), default=None)
    rows: list[Row] = []
    for name in candidates:
        own, far = ms.get(name), None
        if name != OURS and name in results and OURS in results:
            far = float((results[name] - results[OURS]).abs().max()) * 255
        first = name == OURS and own is not None and fastest is not None
        rows.append(
            {
                "stage": stage,
                "what": name,
                "ms": reasons.get(name, own),
                "time / ours": peers.ratio(own, ms.get(OURS)),
                "ours / fastest peer": own.median / fastest if first and own and fastest else None,
                "furthest from ours, grey levels": far,
            }
        )
    return rows


def _batch(result: Any) -> Tensor:
    """(B, C, H, W) on the CPU, of a tensor or a list of arrays (H, W, C), 8-bit ones too."""
    if isinstance(result, Tensor):
        return result.detach().cpu()
    arrays = torch.from_numpy(np.stack(result)).permute(0, 3, 1, 2)
    return arrays.float() / 255 if arrays.dtype == torch.uint8 else arrays


def _nobody() -> peers.Call:
    raise peers.Absent("-")


def _blur(image: Tensor, arrays: Arrays) -> dict[str, Make]:
    sigma = SIGMA * image.shape[-1]

    def kornia() -> peers.Call:
        filters = peers.load("kornia").filters
        return lambda: filters.gaussian_blur2d(image, (TAPS, TAPS), (sigma, sigma))

    def torchvision() -> peers.Call:
        functional = peers.load("torchvision.transforms.v2.functional")
        return lambda: functional.gaussian_blur(image, [TAPS, TAPS], [sigma, sigma])

    def albumentations() -> peers.Call:
        blur = peers.load("albumentations").GaussianBlur(blur_limit=(TAPS, TAPS), sigma_limit=(sigma, sigma), p=1)
        return lambda: [blur(image=one)["image"] for one in arrays]

    def opencv() -> peers.Call:
        blur = peers.load("cv2").GaussianBlur
        return lambda: [blur(one, (TAPS, TAPS), sigma) for one in arrays]

    batched = {"kornia, gaussian_blur2d": kornia, "torchvision, gaussian_blur": torchvision}
    return batched | (
        {"albumentations, GaussianBlur": albumentations, "OpenCV, GaussianBlur": opencv} if arrays else {}
    )


def _color(image: Tensor, arrays: Arrays) -> dict[str, Make]:
    eight_bit = [Image.fromarray((one * 255).round().astype(np.uint8)) for one in arrays]

    def kornia() -> peers.Call:
        e = peers.load("kornia").enhance

        def call() -> Tensor:
            brighter = e.adjust_brightness_accumulative(image, BRIGHTNESS)
            flatter = e.adjust_contrast_with_mean_subtraction(brighter, CONTRAST)
            result: Tensor = e.adjust_saturation_with_gray_subtraction(flatter, SATURATION)
            return result

        return call

    def torchvision() -> peers.Call:
        f = peers.load("torchvision.transforms.v2.functional")
        return lambda: f.adjust_saturation(
            f.adjust_contrast(f.adjust_brightness(image, BRIGHTNESS), CONTRAST), SATURATION
        )

    def albumentations() -> peers.Call:
        factors = {"brightness": BRIGHTNESS, "contrast": CONTRAST, "saturation": SATURATION}
        jitter = peers.load("albumentations").ColorJitter(
            **{name: (value, value) for name, value in factors.items()}, hue=(0, 0), p=1
        )
        return lambda: [jitter(image=one)["image"] for one in arrays]

    def pillow() -> peers.Call:
        def one(picture: Image.Image) -> Any:
            picture = ImageEnhance.Brightness(picture).enhance(BRIGHTNESS)
            picture = ImageEnhance.Contrast(picture).enhance(CONTRAST)
            return np.asarray(ImageEnhance.Color(picture).enhance(SATURATION))

        return lambda: [one(picture) for picture in eight_bit]

    batched = {"kornia, adjust_...": kornia, "torchvision, adjust_...": torchvision}
    single = {"albumentations, ColorJitter (draws the order)": albumentations, "Pillow, ImageEnhance, 8 bits": pillow}
    return batched | (single if arrays else {})


def _noise(image: Tensor, arrays: Arrays) -> dict[str, Make]:
    def plain() -> peers.Call:
        return lambda: torch.randn_like(image).mul_(DEVIATION).add_(image).clamp_(0, 1)

    def kornia() -> peers.Call:
        augment = peers.load("kornia.augmentation").RandomGaussianNoise(std=DEVIATION, p=1)
        return lambda: augment(image)

    def torchvision() -> peers.Call:
        functional = peers.load("torchvision.transforms.v2.functional")
        return lambda: functional.gaussian_noise(image, 0.0, DEVIATION, True)

    def albumentations() -> peers.Call:
        augment = peers.load("albumentations").GaussNoise(std_range=(DEVIATION, DEVIATION), per_channel=True, p=1)
        return lambda: [augment(image=one)["image"] for one in arrays]

    batched = {
        "torch, randn": plain,
        "kornia, RandomGaussianNoise (does not clip)": kornia,
        "torchvision, gaussian_noise": torchvision,
    }
    return batched | ({"albumentations, GaussNoise": albumentations} if arrays else {})


OTHERS: dict[str, Others] = {"blur": _blur, "colour": _color, "noise": _noise}
