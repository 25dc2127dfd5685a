"""Grey values of DICOM: from what is stored to levels between black and white, as one table over all stored values.

pydicom's functions make the table, so that the numbers are its own; applying a table needs little memory.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from degrade.errors import ImageError

if TYPE_CHECKING:
    from pydicom import Dataset

Window = Literal["file"] | tuple[float, float]
"""Grey values shown from black to white: the file's own VOI LUT or window, or (center, width) in rescaled units."""

_FRAME_GROUPS = {
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "VOILUTFunction"),
}
"""Where enhanced (multi-frame) objects keep what belongs to a frame."""


def levels(
    samples: NDArray[Any], header: Dataset, frame: int, window: Window | None
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Grey samples (H, W) as levels: uint8 for at most 8 stored bits, else uint16.

    Args:
        samples: as pydicom decodes them, with whatever the bits beside the stored ones hold.
        header: of the file; its attributes have been checked for what is impossible.
        frame: which one, for files that keep slopes and windows by frame.
        window: see `Window`; None spreads all that the stored bits can hold.
    """
    bits = int(header.BitsStored)
    high = header.get("HighBit")
    shift = 0 if high is None else int(high) + 1 - bits
    index: NDArray[Any] = samples.view(f"u{samples.dtype.itemsize}")
    index = index >> index.dtype.type(shift)
    index &= index.dtype.type((1 << bits) - 1)
    made: NDArray[Any] = _table(_of_frame(header, frame), bits, window)[index]
    return made


def full_scale(samples: NDArray[Any], bits: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Unsigned samples of so many bits spread over uint8 (up to 8 bits) or uint16."""
    top = (1 << bits) - 1
    if top in (255, 65535) and samples.dtype.itemsize == (1 if bits <= 8 else 2):
        return samples
    kind, scale = (np.uint8, 255) if bits <= 8 else (np.uint16, 65535)
    table = (np.arange(top + 1) * (scale / top)).round().astype(kind)
    spread: NDArray[Any] = table[np.minimum(samples, top)]
    return spread


def _table(dataset: Dataset, bits: int, window: Window | None) -> NDArray[Any]:
    """The level of every stored value, by its bits."""
    from pydicom.pixels.processing import apply_modality_lut

    stored = np.arange(1 << bits, dtype=np.int64)
    if dataset.get("PixelRepresentation"):
        half = 1 << (bits - 1)
        stored = (stored ^ half) - half  # the sign bit is the highest stored one
    try:
        values = np.asarray(apply_modality_lut(stored, dataset), dtype=np.float64)
    except Exception as error:  # damaged tables raise many kinds
        raise ImageError(f"its Modality LUT cannot be used: {error}") from None
    if not np.isfinite(values).all() or np.ptp(values) == 0:
        raise ImageError(_equal("RescaleSlope, RescaleIntercept or Modality LUT", dataset))
    low, high = _span(dataset, values)
    if window is not None:
        values, low, high = _through_window(values, dataset, window, low, high)
    level = np.clip((values - low) / (high - low), 0, 1)
    if np.ptp(level) == 0:
        raise ImageError(_equal("the window", dataset))
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        level = 1 - level
    kind, scale = (np.uint8, 255) if bits <= 8 else (np.uint16, 65535)
    table: NDArray[Any] = (level * scale).round().astype(kind)
    return table


def _span(dataset: Dataset, values: NDArray[np.float64]) -> tuple[float, float]:
    """The least and the largest value that there can be after the Modality LUT or the rescaling."""
    if dataset.get("ModalityLUTSequence"):
        return 0.0, float(2 ** int(dataset.ModalityLUTSequence[0].LUTDescriptor[2]) - 1)
    return float(values.min()), float(values.max())


def _through_window(
    values: NDArray[np.float64], dataset: Dataset, window: Window, low: float, high: float
) -> tuple[NDArray[np.float64], float, float]:
    """Values shown by a window or a VOI LUT, and which of them are black and white."""
    from pydicom.pixels.processing import apply_voi, apply_windowing

    if window == "file" and dataset.get("VOILUTSequence"):
        try:
            whole = values.round().astype(np.int64)
            return apply_voi(whole, dataset).astype(np.float64), 0.0, _top(dataset.VOILUTSequence[0])
        except Exception as error:  # damaged tables raise many kinds
            raise ImageError(f"its VOI LUT cannot be used: {error}") from None
    shown = copy.copy(dataset)
    if window != "file":
        shown.WindowCenter, shown.WindowWidth, shown.VOILUTFunction = window[0], window[1], "LINEAR"
    shown.WindowCenter, shown.WindowWidth = _first(shown, "WindowCenter"), _first(shown, "WindowWidth")
    if not shown.get("VOILUTFunction"):
        shown.VOILUTFunction = "LINEAR"
    if shown.VOILUTFunction == "LINEAR" and shown.WindowWidth < 1:
        raise ImageError(f"window width = {shown.WindowWidth:g}: at least 1")
    if shown.VOILUTFunction == "LINEAR" and shown.WindowWidth == 1:  # a step, which pydicom divides by zero
        return np.where(values > shown.WindowCenter - 0.5, high, low), low, high
    shown.PixelRepresentation = int(shown.get("PixelRepresentation") or 0)
    try:
        made = np.asarray(apply_windowing(values, shown), dtype=np.float64)
    except Exception as error:
        raise ImageError(f"its window cannot be used: {error}") from None
    ends = _ends(shown, low, high)
    return made, *ends


def _ends(shown: Dataset, low: float, high: float) -> tuple[float, float]:
    """What pydicom's windowing makes of black and white: the other way round for a negative slope."""
    negative = not shown.get("ModalityLUTSequence") and _rescales(shown) and float(shown.RescaleSlope) < 0
    return (high, low) if negative else (low, high)


def _top(item: Dataset) -> float:
    return float(2 ** int(item.LUTDescriptor[2]) - 1)


def _first(dataset: Dataset, name: str) -> float:
    """The first of the values of an attribute that may have several."""
    value = dataset.get(name)
    if value is None or value == "" or (isinstance(value, (list, tuple)) and not len(value)):
        raise ImageError(f"the file has no window of its own ({name} is missing): give its center and width")
    try:
        found = float(value if isinstance(value, (int, float, str)) else value[0])
    except (TypeError, ValueError):
        raise ImageError(f"{name} = {value!r} is no number") from None
    if not math.isfinite(found):
        raise ImageError(f"{name} = {found}")
    return found


def _rescales(dataset: Dataset) -> bool:
    return dataset.get("RescaleSlope") not in (None, "") and dataset.get("RescaleIntercept") not in (None, "")


def _of_frame(header: Dataset, frame: int) -> Dataset:
    """The header with the attributes of one frame in place; a rescaling that is only half there is left out."""
    dataset = copy.copy(header)
    for sequence, place in (("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", frame)):
        items = header.get(sequence)
        if not items or place >= len(items):
            continue
        for group, names in _FRAME_GROUPS.items():
            inner = items[place].get(group)
            for name in names if inner else ():
                if inner[0].get(name) is not None:
                    setattr(dataset, name, inner[0].get(name))
    for name in ("RescaleSlope", "RescaleIntercept"):
        _check_number(dataset, name)
    if not _rescales(dataset):
        for name in ("RescaleSlope", "RescaleIntercept"):
            if name in dataset:
                delattr(dataset, name)
    elif float(dataset.RescaleSlope) == 0:
        raise ImageError("RescaleSlope = 0: all grey values become equal")
    return dataset


def _check_number(dataset: Dataset, name: str) -> None:
    try:
        value = dataset.get(name)
        if value not in (None, "") and not math.isfinite(float(value)):
            raise ImageError(f"{name} = {value}")
    except (TypeError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{name} is not one number") from None


def _equal(what: str, dataset: Dataset) -> str:
    names = ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth")
    values = ", ".join(f"{name} = {dataset.get(name)}" for name in names if dataset.get(name) not in (None, ""))
    return f"{what} makes all grey values equal{f' ({values})' if values else ''}"
