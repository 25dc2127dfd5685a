"""Draw docs/pictures/gallery/*.webp: recipes, their stages and strengths, and what networks are trained on.

python docs/make_gallery.py [NAME ...]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

import degrade
from degrade.display import Tile, sheet, type_words
from degrade.images import image_io
from degrade.models import xray
from degrade.stream import PairStream, UnpairedStream

PICTURES = Path(__file__).parent / "pictures"
DISC = (slice(150, 274), slice(8, 132))  # rows and columns of the photograph: the optic disc
SIDE = 190
MOST_COLUMNS = 5  # so that captions can be read on a page


def photograph() -> Tensor:
    """(1, 3, 512, 512): the photograph of README."""
    return image_io.to_float(image_io.read(PICTURES / "retina.jpg"))[None]


def drawn(
    name: str, image: Tensor, id_: str, **settings: object
) -> tuple[degrade.Degradation, Tensor, dict[str, Tensor]]:
    """A recipe, what it makes of an image (1, C, H, W), and with which parameters."""
    recipe = degrade.recipe(name, **settings)
    degraded, parameters = recipe.sample(image, [id_])
    return recipe, degraded, parameters


def stages(name: str, image: Tensor, id_: str, detail: tuple[slice, slice], **settings: object) -> list[list[Tile]]:
    """The image, each stage alone, and all; below each a detail, magnified."""
    recipe, degraded, parameters = drawn(name, image, id_, **settings)
    columns = {"clean": image}
    for stage, alone in recipe.stages(parameters).items():
        columns[f"{stage} alone"] = recipe.apply(image, alone)
    columns["all"] = degraded
    shown = [Tile(title, picture[0]) for title, picture in columns.items()]
    details = [Tile("", picture[(0, slice(None), *detail)]) for picture in columns.values()]
    wide = 4 if len(shown) > MOST_COLUMNS else len(shown)
    return [row[first : first + wide] for first in range(0, len(shown), wide) for row in (shown, details)]


def cofe_net() -> Image.Image:
    return sheet(stages("cofe-net", photograph(), "eye 3", DISC, type="111"), SIDE)


def cofe_net_paper() -> Image.Image:
    image, rows = photograph(), []
    for name in ("cofe-net", "cofe-net-paper"):
        rows.append([Tile(name, drawn(name, image, f"eye {n}", type="111")[1][0]) for n in range(4)])
    return sheet(rows, SIDE)


def cataract() -> Image.Image:
    return sheet(stages("cataract", photograph(), "eye 1", DISC), SIDE)


def cornea() -> Image.Image:
    image = degrade.phantom.cornea(degrade.make_keys(0, 2), 384)[0][:1]
    return sheet(stages("cornea", image, "frame 11", (slice(130, 226), slice(130, 226))), SIDE)


def pce_net() -> Image.Image:
    image, rows = photograph(), []
    for id_ in ("left/01", "left/02"):
        views, parameters = degrade.SeqLC("pce-net", views=4).sample(image, [id_])
        types = [type_words(int(code)) for code in parameters["type"][0]]
        rows.append([Tile("clean", image[0])])
        rows[-1] += [Tile(f"view {k}: {words}", views[0, k]) for k, words in enumerate(types)]
    return sheet(rows, 220)


def x_bdcnn() -> Image.Image:
    clean = degrade.phantom.chest(degrade.make_keys(0, 1), 512)[0]
    window = (..., slice(150, 278), slice(250, 378))
    rows = [[Tile("clean", clean[0])], [Tile("clean, magnified", clean[window][0])]]
    for row, sigma in zip(rows, (0.0, 20.0), strict=True):
        for eta in (1.9, 1.0, 0.4):
            noisy = drawn("x-bdcnn", clean, "patient 1", eta=eta, sigma=sigma)[1]
            row.append(Tile(f"eta {eta}, sigma {sigma:.0f}", noisy[window][0]))
    return sheet(rows, 230)


def draws() -> Image.Image:
    image, tiles = photograph(), []
    for number in range(8):
        _, degraded, parameters = drawn("cofe-net", image, f"left/{number:02d}")
        tiles.append(Tile(f"left/{number:02d}: {type_words(int(parameters['type']))}", degraded[0]))
    return sheet([tiles[:4], tiles[4:]], 220)


def strengths() -> Image.Image:
    image, rows = photograph(), []
    plain = {"contrast": 1, "saturation": 1, "halo_strength": 0, "hole_depth": 0, "hole_slope": 0}
    for name, fixed, setting, values in (
        ("cofe-net", {"type": "001", **plain}, "brightness", (0.5, 0.8, 1.1, 1.4)),
        ("cofe-net", {"type": "100", "blur_sigma": 0.02}, "blur_kernel", (0.2, 0.5, 1, 2)),
        ("cataract", {}, "veil", (0.2, 0.4, 0.6, 0.8)),
    ):
        made = [drawn(name, image, "eye", **fixed, **{setting: value})[1][0] for value in values]
        if setting == "blur_kernel":
            made = [picture[(..., *DISC)] for picture in made]
        rows.append([Tile(f"{setting} = {value}", picture) for value, picture in zip(values, made, strict=True)])
    return sheet(rows, SIDE)


def phantoms() -> Image.Image:
    keys = degrade.make_keys(0, 3)
    rows = []
    for name, map_ in (("fundus", "vessels"), ("chest", "lungs"), ("cornea", "nerves")):
        images, maps = getattr(degrade.phantom, name)(keys, 256)[:2]
        rows.append([Tile(f"phantom:{name}", image) for image in images[:2]])
        rows[-1] += [Tile(map_, image) for image in maps[:2]]
    return sheet(rows, SIDE)


def noise_maps() -> Image.Image:
    clean = degrade.phantom.chest(degrade.make_keys(0, 2), 256)[0]
    recipe = degrade.recipe("x-bdcnn")
    noisy, parameters = recipe.sample(clean, ["a", "c"])
    deviation = xray.standard_deviation_map(clean, parameters)
    rows = []
    for n in range(2):
        eta, sigma = float(parameters["eta"][n]), float(parameters["sigma"][n])
        rows.append([Tile(f"eta {eta:.2f}, sigma {sigma:.1f}", noisy[n]), Tile("clean", clean[n])])
        rows[-1].append(Tile("standard deviation, x 8", 8 * deviation[n]))
    return sheet(rows, 220)


def unpaired(phantom: str, recipe: str) -> Image.Image:
    stream = UnpairedStream(None, f"phantom:{phantom}?count=8&size=256", batch_size=2, low_recipe=recipe)
    batch = next(iter(stream))
    pairs = zip(batch.low.image, batch.high.image, strict=True)
    return sheet([[tile for low, high in pairs for tile in (Tile("bad", low), Tile("good", high))]], SIDE)


def structures() -> Image.Image:
    batch = next(iter(PairStream("phantom:fundus?count=4&size=256", "cofe-net", batch_size=2)))
    rows = [
        [Tile("clean", batch.clean[n]), Tile("degraded", batch.degraded[n]), Tile("vessels", batch.maps["vessels"][n])]
        for n in range(2)
    ]
    return sheet(rows, SIDE)


SHEETS: dict[str, Callable[[], Image.Image]] = {
    "cofe-net": cofe_net,
    "cofe-net-paper": cofe_net_paper,
    "pce-net": pce_net,
    "cataract": cataract,
    "x-bdcnn": x_bdcnn,
    "cornea": cornea,
    "draws": draws,
    "strengths": strengths,
    "phantoms": phantoms,
    "noise-maps": noise_maps,
    "unpaired-fundus": partial(unpaired, "fundus", "cataract"),
    "unpaired-cornea": partial(unpaired, "cornea", "cornea"),
    "structures": structures,
}


def main(names: Sequence[str]) -> None:
    """Draw these sheets, or all."""
    folder = PICTURES / "gallery"
    folder.mkdir(exist_ok=True)
    for name in names or SHEETS:
        path = folder / f"{name}.webp"
        with torch.no_grad():
            SHEETS[name]().save(path, quality=82, method=6)
        print(f"{path.relative_to(PICTURES)}: {path.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
