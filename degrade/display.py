"""What notebooks show: recipes as tables of their settings, and labelled pictures as a sheet or as HTML."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from degrade.images import image_io
from degrade.settings import Range, Setting, Value

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

MOST_ROWS = 8
"""Samples of a batch that are shown; of the others only the number is said."""

_PAPER, _INK = (255, 255, 255), (30, 30, 30)
_STAGES = ("light", "spots", "blur")


class Tile(NamedTuple):
    """A picture (C, H, W) in [0, 1] and the line under it."""

    caption: str
    image: Tensor


def type_words(code: int) -> str:
    """The stages of a fundus degradation's type, by its bits.

    >>> type_words(0b011), type_words(0)
    ('light + spots', 'none')
    """
    return " + ".join(word for bit, word in enumerate(_STAGES) if code >> bit & 1) or "none"


def recipe_html(name: str, citation: str, table: Mapping[str, Setting], settings: Mapping[str, Value]) -> str:
    """A recipe as an HTML table: a line per setting with its range, unit and meaning; changed ones are bold."""
    lines = ["<tr><th>setting</th><th>value</th><th>unit</th><th>meaning</th></tr>"]
    for key, setting in table.items():
        value = settings[key]
        text = escape(_value(value, drawn=isinstance(setting, Range)))
        if value != setting.read(key, setting.default):
            text = f"<b>{text}</b>"
        cells = (f"<code>{escape(key)}</code>", text, escape(setting.unit), escape(setting.meaning))
        lines.append("<tr>" + "".join(f'<td style="text-align:left">{cell}</td>' for cell in cells) + "</tr>")
    source = escape(citation).replace("\n", "<br>")
    return f"<p><b>{escape(name)}</b><br>{source}</p><table>{''.join(lines)}</table>"


def sheet(rows: Sequence[Sequence[Tile]], size: int, last: str = "") -> Image:
    """Rows of pictures side by side, each with its caption under it.

    Args:
        rows: of tiles, the first as far left as the others.
        size: of each picture, pixels; images keep their proportions on black.
        last: a line at the end.
    """
    from PIL import Image, ImageDraw, ImageFont

    text = max(11, min(20, size // 13))
    font = ImageFont.load_default(size=text)
    gap = max(4, size // 32)
    line = round(1.7 * text) if last or any(tile.caption for row in rows for tile in row) else 0
    width = gap + max(map(len, rows), default=0) * (size + gap)
    canvas = Image.new("RGB", (width, gap + len(rows) * (size + line + gap) + (line if last else 0)), _PAPER)
    draw = ImageDraw.Draw(canvas)
    for number, row in enumerate(rows):
        top = gap + number * (size + line + gap)
        for place, tile in enumerate(row):
            left = gap + place * (size + gap)
            levels = _levels(tile.image, size).expand(3, -1, -1)
            canvas.paste(Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy()), (left, top))
            draw.text((left + size / 2, top + size + line / 2), _fit(tile.caption, font, size), _INK, font, anchor="mm")
    if last:
        draw.text((gap, canvas.height - line / 2 - gap / 2), _fit(last, font, width - 2 * gap), _INK, font, anchor="lm")
    return canvas


def sheet_html(heading: str, rows: Sequence[Sequence[Tile]], size: int, last: str = "") -> str:
    """The same as HTML, the pictures embedded as PNG."""
    lines = []
    for row in rows:
        cells = []
        for tile in row:
            data = base64.b64encode(image_io.encode(_levels(tile.image, size), "png")).decode()
            picture = f'<img src="data:image/png;base64,{data}" width="{size}" height="{size}">'
            cells.append(f'<td style="text-align:center">{picture}<br>{escape(tile.caption)}</td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    end = f"<p>{escape(last)}</p>" if last else ""
    return f"<p>{escape(heading)}</p><table>{''.join(lines)}</table>{end}"


def _value(value: Value, drawn: bool) -> str:
    if isinstance(value, tuple):
        return f"{value[0]:.4g} to {value[1]:.4g}"
    if isinstance(value, (bool, str)):
        return str(value).lower()
    return f"{value:.4g} (fixed)" if drawn else f"{value:.4g}"


def _levels(image: Tensor, size: int) -> Tensor:
    """(C, H, W), perhaps beyond [0, 1], as uint8 (C, size, size); NaN is black."""
    shown = image.detach().cpu().to(torch.float32).nan_to_num(0.0).clamp(0, 1)
    return image_io.to_integer(image_io.resize(shown, size))


def _fit(text: str, font: FreeTypeFont | ImageFont, width: int) -> str:
    """The text, cut in the middle where it is wider than `width` pixels."""
    for kept in range(len(text), 0, -1):
        shown = text if kept == len(text) else f"{text[: kept // 2]}...{text[len(text) - (kept - kept // 2) :]}"
        if font.getlength(shown) <= width:
            return shown
    return ""
