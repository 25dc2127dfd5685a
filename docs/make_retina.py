"""Draw docs/pictures/retina-cofe-net.png: one photograph and what `cofe-net` makes of it, whole and magnified."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import degrade

PICTURES = Path(__file__).parent / "pictures"
COLUMNS = {"clean": None, "light": "001", "spots": "010", "blur": "100", "all": "111"}
SIDE, GAP, LINE = 248, 6, 30
SEED = 28
DETAIL = (8, 150, 132, 274)  # the optic disc, shown at twice its size


def draw() -> Image.Image:
    """Whole pictures of `SIDE` pixels above, the window `DETAIL` below."""
    photograph = Image.open(PICTURES / "retina.jpg")
    width = len(COLUMNS) * (SIDE + GAP) - GAP
    sheet = Image.new("RGB", (width, LINE + 2 * SIDE + GAP), (255, 255, 255))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=18)
    for column, (title, type_) in enumerate(COLUMNS.items()):
        picture = photograph
        if type_ is not None:
            picture = degrade.degrade(photograph, degrade.recipe("cofe-net", type=type_), seed=SEED, id="retina")
        left = column * (SIDE + GAP)
        pen.text((left + SIDE / 2, LINE / 2), title, fill=(30, 30, 30), font=font, anchor="mm")
        sheet.paste(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (left, LINE))
        detail = picture.crop(DETAIL).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        sheet.paste(detail, (left, LINE + SIDE + GAP))
    return sheet


if __name__ == "__main__":
    draw().save(PICTURES / "retina-cofe-net.png", optimize=True)
