"""Tiny trees of public data sets, as they are distributed, made of phantoms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

import degrade

COUNT = 6


def _levels(image):
    return np.asarray((image * 255).round().to(torch.uint8))


def _color(image):
    return Image.fromarray(_levels(image).transpose(1, 2, 0))


def _grey(image):
    return Image.fromarray(_levels(image)[0])


def _save(image, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def phantoms():
    """Images, vessels, fields of view, discs and cups: (N, C, 64, 64) each."""
    image, vessels, mask = degrade.phantom.fundus(degrade.make_keys(0, COUNT), 64)
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    far = ((y - 32) ** 2 + (x - 24) ** 2).sqrt()
    disc, cup = ((far < r).float()[None, None].expand(COUNT, 1, 64, 64) for r in (12, 6))
    return image, (vessels > 0.5).float(), (mask > 0.5).float(), disc, cup


def drive(root: Path) -> None:
    for n, (image, vessels, mask, *_) in enumerate(zip(*phantoms(), strict=True)):
        part, number = ("training", 21 + n) if n < 4 else ("test", n)
        _save(_color(image), root / part / "images" / f"{number:02d}_{part}.tif")
        _save(_grey(vessels), root / part / "1st_manual" / f"{number:02d}_manual1.gif")
        _save(_grey(mask), root / part / "mask" / f"{number:02d}_{part}_mask.gif")


def chase(root: Path) -> None:
    for n, (image, vessels, *_) in enumerate(zip(*phantoms(), strict=True)):
        name = f"Image_{n // 2 + 1:02d}{'LR'[n % 2]}"
        _save(_color(image), root / f"{name}.jpg")
        for expert in ("1stHO", "2ndHO"):
            _save(_grey(vessels).convert("1"), root / f"{name}_{expert}.png")


def hrf(root: Path) -> None:
    for n, (image, vessels, mask, *_) in enumerate(zip(*phantoms(), strict=True)):
        name = f"{n // 3 + 1:02d}_{('h', 'dr', 'g')[n % 3]}"
        _save(_color(image), root / "images" / f"{name}.{'JPG' if 'dr' in name else 'jpg'}", format="JPEG")
        _save(_grey(vessels), root / "manual1" / f"{name}.tif")
        _save(_color(mask.expand(3, -1, -1)), root / "mask" / f"{name}_mask.tif")


def stare(root: Path) -> None:
    for n, (image, vessels, *_) in enumerate(zip(*phantoms(), strict=True)):
        _save(_color(image), root / f"im{n + 1:04d}.ppm")
        _save(_grey(vessels), root / f"im{n + 1:04d}.ah.ppm", format="PPM")


def idrid(root: Path) -> None:
    train = "a. Training Set"
    for n, (image, vessels, _, disc, _) in enumerate(zip(*phantoms(), strict=True)):
        name = f"IDRiD_{n + 1:02d}"
        _save(_color(image), root / "1. Original Images" / train / f"{name}.jpg")
        truth = root / "2. All Segmentation Groundtruths" / train
        red = torch.cat([disc, 0 * disc, 0 * disc])
        _save(_color(red), truth / "5. Optic Disc" / f"{name}_OD.tif")
        if n % 2:  # lesions that an image has not have no file
            _save(_color(torch.cat([vessels, 0 * disc, 0 * disc])), truth / "2. Haemorrhages" / f"{name}_HE.tif")


def refuge(root: Path) -> None:
    for n, (image, _, _, disc, cup) in enumerate(zip(*phantoms(), strict=True)):
        name, kind = (f"g{n + 1:04d}", "Glaucoma") if n < 2 else (f"n{n + 1:04d}", "Non-Glaucoma")
        _save(_color(image), root / "Training400" / kind / f"{name}.jpg")
        levels = torch.where(cup > 0, 0.0, torch.where(disc > 0, 128 / 255, 1.0))
        _save(_grey(levels), root / "Annotation-Training400" / "Disc_Cup_Masks" / kind / f"{name}.bmp")


def drishti(root: Path) -> None:
    for n, (image, _, _, disc, cup) in enumerate(zip(*phantoms(), strict=True)):
        name = f"drishtiGS_{n + 2:03d}"
        _save(_color(image), root / "Training" / "Images" / "GLAUCOMA" / f"{name}.png")
        for kind, truth in (("ODsegSoftmap", disc), ("cupsegSoftmap", cup)):
            soft = truth * 191 / 255  # three experts of four
            _save(_grey(soft), root / "Training" / "GT" / name / "SoftMap" / f"{name}_{kind}.png")


TREES = {
    "drive": drive,
    "chase": chase,
    "hrf": hrf,
    "stare": stare,
    "idrid": idrid,
    "refuge": refuge,
    "drishti": drishti,
}
