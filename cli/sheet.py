"""The contact sheet: each image clean, each stage alone, the whole chain, and several views as they are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional

import degrade
from degrade.display import type_words
from degrade.images import image_io

_PAPER, _INK, _FAINT, _MARK = (232, 232, 230), (30, 30, 30), (105, 105, 105), (250, 205, 70)
_SHARE, _ZOOM = 0.36, 3
"""Side of the magnified detail as a share of the picture's, and how often it is magnified."""


@dataclass(frozen=True)
class Cell:
    """A picture (C, N, N) in [0, 1], the group and the title of its column and, if it has one, a line of its own."""

    group: str
    title: str
    image: Tensor
    note: str = ""


def row(recipe: degrade.Degradation, image: Tensor, id_: str, seed: int, views: int) -> list[Cell]:
    """The cells of one image (C, N, N): stages and chain of view 0 with everything on, then views 1, 2, ...

    View k is what `degrade synth` makes of an image with this id, seed and size.
    """
    batch = image[None]
    mask = recipe.field_of_view(batch)
    height, width = image.shape[-2:]
    whole = recipe
    if recipe.settings.get("type") == "random":
        whole = degrade.recipe(recipe.to_toml(), type="111")
    parameters = whole.draw(degrade.make_keys(seed, [id_]), height, width)
    cells = [Cell("clean", "clean", image)]
    for name, alone in whole.stages(parameters).items():
        cells.append(Cell("stages", f"only {name}", whole.apply(batch, alone, mask)[0]))
    cells.append(Cell("stages", "all of them", whole.apply(batch, parameters, mask)[0]))
    for view in range(1, views + 1):
        degraded, drawn = recipe.sample(batch, degrade.make_keys(seed, [id_], view=view), mask)
        note = type_words(int(drawn["type"])) if "type" in drawn else ""
        cells.append(Cell("views", f"view {view}", degraded[0], note))
    return cells


def sheet(heading: str, rows: dict[str, list[Cell]], size: int) -> Image.Image:
    """Rows of cells of `size` pixels, titled above; under each row its name and the notes of its cells.

    Each picture has a detail magnified in its corner: where the reference, or the first of its row, has most structure.
    """
    text = max(11, min(22, size // 13))
    font, small = ImageFont.load_default(size=text), ImageFont.load_default(size=max(10, text - 3))
    line, gap = round(1.6 * text), max(4, size // 40)
    first = next(iter(rows.values()))
    lefts = [2 * gap]
    for before, cell in pairwise(first):
        lefts.append(lefts[-1] + size + (gap if before.group == cell.group else 3 * gap))
    width, pitch = lefts[-1] + size + 2 * gap, size + line + gap
    canvas = Image.new("RGB", (width, gap + 2 * line + len(rows) * pitch), _PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((lefts[0], line - gap // 2), _fit(draw, heading, font, width - 4 * gap), _FAINT, font, anchor="ls")
    for left, cell in zip(lefts, first, strict=True):
        place = (left + size / 2, 2 * line - gap // 2)
        draw.text(place, _fit(draw, cell.title, font, size), _INK, font, anchor="ms")
    for number, (name, cells) in enumerate(rows.items()):
        top = gap + 2 * line + number * pitch
        notes = [f"{name}: {cells[0].note}" if cells[0].note else name, *(cell.note for cell in cells[1:])]
        detail = _detail(next((cell for cell in cells if cell.title == "reference"), cells[0]).image)
        for left, cell, note in zip(lefts, cells, notes, strict=True):
            canvas.paste(_with_detail(_picture(cell.image), *detail), (left, top))
            place = (left + size / 2, top + size + round(0.72 * line))
            draw.text(place, _fit(draw, note, small, size), _FAINT, small, anchor="ms")
    return canvas


def pixels(picture: Image.Image) -> Tensor:
    """An RGB picture as uint8 (3, H, W)."""
    return torch.from_numpy(np.asarray(picture).transpose(2, 0, 1).copy())


def _picture(image: Tensor) -> Image.Image:
    levels = image_io.to_integer(image.expand(3, -1, -1)).numpy()
    return Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0)))


def _detail(image: Tensor) -> tuple[int, int, int]:
    """Left, top and side of the square of the middle of an image (C, N, N) with most structure."""
    size = image.shape[-1]
    side = max(8, round(_SHARE * size / _ZOOM))
    grey = image.float().mean(0)[None, None]
    fine, coarse = (functional.avg_pool2d(grey, k, 1, padding=k // 2, count_include_pad=False) for k in (3, 15))
    change = (fine - coarse).square()  # vessels, ribs and nerves, but neither single pixels nor shading
    low, high = size // 5, round((1 - _SHARE) * size) - side - 2
    found = functional.avg_pool2d(change, side, 1)[0, 0, low : high + 1, low : high + 1]
    place = int(found.argmax())
    return low + place % found.shape[1], low + place // found.shape[1], side


def _with_detail(picture: Image.Image, left: int, top: int, side: int) -> Image.Image:
    """A picture with a square of it framed, and magnified in the corner at the bottom right."""
    large = picture.crop((left, top, left + side, top + side)).resize((_ZOOM * side,) * 2, Image.Resampling.NEAREST)
    end = picture.width - 1
    draw = ImageDraw.Draw(picture)
    draw.rectangle((left - 1, top - 1, left + side, top + side), outline=_MARK)
    picture.paste(large, (end - large.width, end - large.height))
    draw.rectangle((end - large.width - 1, end - large.height - 1, end, end), outline=_MARK)
    return picture


def _fit(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text, cut in the middle if it is wider than `width` pixels."""
    for kept in range(len(text), 2, -1):
        shown = text if kept == len(text) else f"{text[: kept // 2]}...{text[-(kept - kept // 2) :]}"
        if draw.textlength(shown, font) <= width:
            return shown
    return ""


def fitted(image: Tensor, size: int) -> Tensor:
    """An integer image as the sheet shows it: (C, size, size) float, with the levels that a file would have."""
    bits = 16 if image.dtype == torch.uint16 else 8
    return image_io.to_float(image_io.to_integer(image_io.resize(image_io.to_float(image), size), bits))
