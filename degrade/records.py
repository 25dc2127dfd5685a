"""Parameters as JSON: one record per degraded image, and the parameter files of the Cofe-Net release read as ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from degrade.base import Parameters
from degrade.functional.blur import REFERENCE_SIDE
from degrade.fundus import Fundus, law

Record = dict[str, Any]
"""Parameter names to numbers and nested lists of numbers; `type` as its three-digit code."""


def to_record(parameters: Parameters, index: int) -> Record:
    """The parameters of sample `index` as JSON values: as few digits as tell the same float32.

    >>> to_record({"brightness": torch.tensor([0.7, 0.9]), "type": torch.tensor([7, 3])}, 1)
    {'brightness': 0.9, 'type': '011'}
    """
    record = {name: _plain(value[index]) for name, value in parameters.items()}
    if "type" in record:
        record["type"] = f"{record['type']:03b}"
    return record


def from_record(record: Mapping[str, Any]) -> Parameters:
    """The inverse of `to_record`, exactly: parameters of one sample, (1, ...) each.

    Raises:
        ValueError: for a record that is not one of ours.
    """
    parameters = {}
    for name, value in record.items():
        try:
            if name == "type":
                if value not in law.TYPES:
                    raise ValueError(f"allowed is one of {', '.join(law.TYPES)}")
                value = int(value, 2)
            array = np.asarray(value)
            kind = torch.int64 if array.dtype.kind == "i" and _is_whole(name) else torch.float32
            parameters[name] = torch.tensor(array.tolist(), dtype=kind)[None]
        except (TypeError, ValueError) as error:
            raise ValueError(f"parameter {name!r} = {value!r}: {error}") from None
    return parameters


def from_cofe_net(file: Mapping[str, Any]) -> Parameters:
    """Parameters of one sample from the contents of a Cofe-Net parameter file, for 512 x 512 images.

    Both spellings are read: the released code's (`halo.num`) and that of the files published with the data set
    (`halo.style_num`). Stages that the file lacks are left out of the `type`. The files hold the hole's amplitude
    itself, so no threshold applies. To get the release's own bytes, degrade with `emulate_8bit=True`.

    Raises:
        ValueError: naming what is missing.
    """
    try:
        return _from_cofe_net(file["params"])
    except KeyError as error:
        raise ValueError(f"not a Cofe-Net parameter file: {error} is missing") from None
    except (TypeError, AttributeError) as error:
        raise ValueError(f"not a Cofe-Net parameter file: {error}") from None


def _from_cofe_net(params: Mapping[str, Any]) -> Parameters:
    side = params.get("size", REFERENCE_SIDE)

    def numbers(*values: float) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)

    base = law.neutral(Fundus().draw(torch.zeros(1, dtype=torch.int64), side, side))
    found: dict[str, Tensor] = {}
    bits = 0
    if light := params.get("illumination"):
        bits |= law.ILLUMINATION
        for name in ("brightness", "contrast", "saturation"):
            found[name] = numbers(light["color"][f"{name}_factor"])
        halo, hole = light["halo"], light["hole"]
        tint = int(halo["style_num"] if "style_num" in halo else halo["num"])
        if not 0 <= tint < len(law.TINTS):
            raise ValueError(f"halo tint {tint}: allowed is 0 to {len(law.TINTS) - 1}")
        found["halo_color"] = law.halo_color(torch.tensor([tint]))
        found["halo_strength"] = numbers(1)
        found |= law.halo_geometry(
            numbers(*halo["center_a"])[None], numbers(halo["dia_a"]), numbers(halo["dia_b"]), (side, side)
        )
        found["hole_center"] = (numbers(*hole["center"])[None] + 0.5) / side
        found["hole_radius"] = numbers(hole["diameter_circle"] // 2) / side
        found["hole_kernel"] = numbers(hole["rad_w"], hole["rad_h"])[None] / side
        found["hole_sigma"] = numbers(hole["sigma"]) / side
        found["hole_depth"] = numbers(-hole["brightness_factor"])
        found["hole_slope"], found["hole_threshold"] = numbers(0), numbers(0)
    if spots := params.get("spots"):
        bits |= law.SPOTS
        radius = numbers(*(spot["radius"] for spot in spots))[None]
        found["spot_radius"] = (radius / 2).floor() / side
        found["spot_height"] = law.spot_height(radius * (REFERENCE_SIDE / side))
        found["spot_center"] = (torch.stack([numbers(*spot["center"]) for spot in spots])[None] + 0.5) / side
        found["spot_kernel"] = torch.stack([numbers(spot["rad_w"], spot["rad_h"]) for spot in spots])[None] / side
        found["spot_sigma"] = numbers(*(spot["sigma"] for spot in spots))[None] / side
        base["spot_count"] = torch.tensor([len(spots)])
    if blur := params.get("blur"):
        bits |= law.BLUR
        found["blur_sigma"] = numbers(blur["sigma"]) / side
        found["blur_kernel"] = numbers(blur["rad_w"], blur["rad_h"])[None] / side
    if not bits:
        raise KeyError("illumination, spots or blur")
    base["type"] = torch.tensor([bits])
    return {**base, **{name: value.to(torch.float32) for name, value in found.items()}}


def _plain(value: Tensor) -> Any:
    if value.ndim:
        return [_plain(item) for item in value]
    return float(str(np.float32(value.item()))) if value.is_floating_point() else int(value)


def _is_whole(name: str) -> bool:
    return name in ("type", "spot_count") or name.endswith("_key")
