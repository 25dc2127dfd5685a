"""Make the golden sample: a phantom of 64 pixels, and what each Cofe-Net stage makes of it by the NumPy reference.

python -m tests.golden.make
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import degrade
from tests import reference

FILE = Path(__file__).with_name("phantom64.npz")
SIDE = 64

# in pixels, as the release has them
COLOR = {"brightness": 0.85, "contrast": 1.2, "saturation": 0.7}
HALO = {"tint": 1, "center": (29, 35), "inner": 50.0, "outer": 78.0}
HOLE = {"center": (30, 33), "diameter": 36, "amplitude": -0.28, "width": 23, "height": 19, "sigma": 18.4}
SPOTS = (
    {"center": (20, 40), "radius": 4, "rad_w": 5, "rad_h": 7, "sigma": 9.0},
    {"center": (45, 25), "radius": 2, "rad_w": 3, "rad_h": 3, "sigma": 4.0},
)
BLUR = {"width": 5, "height": 3, "sigma": 2.5}


def stages(image: np.ndarray) -> dict[str, np.ndarray]:
    """The image after each stage alone, float64 (3, 64, 64)."""
    halo: Any = HALO
    hole: Any = HOLE
    blur: Any = BLUR
    return {
        "colour": reference.colour(image, *COLOR.values()),
        "halo": reference.halo(image, halo["tint"], halo["center"], halo["inner"], halo["outer"]),
        "hole": reference.hole(image, hole["center"], hole["diameter"], hole["amplitude"], *list(hole.values())[3:]),
        "spots": reference.spots(image, SPOTS),
        "blur": reference.blur(image, blur["width"], blur["height"], blur["sigma"]),
    }


def main() -> None:
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(64, 1), SIDE)
    levels = (image[0].double().numpy() * 65535).round().astype(np.uint16)
    made = stages(levels / 65535)
    kept = {name: (stage * 65535).round().astype(np.uint16) for name, stage in made.items()}
    np.savez_compressed(FILE, image=levels, mask=mask[0, 0].numpy() > 0.5, **kept)


if __name__ == "__main__":
    main()
