"""Degradation: the one base class. A pure function of (image, parameters), which are one of (recipe, key, shape)."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from degrade.isolation import check_storage, without_autocast
from degrade.rng import keyed
from degrade.settings import Choice, Setting, Value, read_settings
from degrade.text import parse_toml

Parameters = dict[str, Tensor]
"""What was done to each sample: names to tensors, (B, ...) each. Lengths are fractions of the shorter side."""

SMALLEST_SIDE = 32


class Degradation(nn.Module, ABC):
    """A degradation with the ranges that its parameters are drawn from.

    Subclasses declare their settings in `settings_table` and implement `_draw` and `_degrade`.

    Images are float tensors (B, C, H, W) in [0, 1], C = 1 or 3, H and W at least 32, on any device; the result has
    their shape and type. float16 and bfloat16 are computed in float32. Nothing given is ever changed. Calls leave
    no trace in the module: the parameters of a call are what `sample` returns.

    Args:
        name: what the recipe is called.
        citation: where it comes from.
        validate: look for NaN and values outside [0, 1] on a GPU too, which then has to be waited for; images on a
            CPU are always looked at.
        settings: values for entries of `settings_table`; a number is fixed, a pair is drawn uniformly per sample.
    """

    settings_table: ClassVar[dict[str, Setting]] = {}
    channels: ClassVar[tuple[int, ...]] = (1, 3)
    looks_at_values: ClassVar[bool] = False  # whether `_degrade` itself refuses what is not in [0, 1]

    def __init__(self, name: str = "", citation: str = "", validate: bool = False, **settings: Any) -> None:
        super().__init__()
        self.validate = validate
        self.name = name
        self.citation = citation
        self.settings: dict[str, Value] = read_settings(self.settings_table, settings)
        self.compiled = False

    # the interface

    def draw(self, keys: Tensor, height: int, width: int) -> Parameters:
        """Draws the parameters of one degradation per key.

        Args:
            keys: (B,) int64, from `make_keys`.
            height, width: of the images, in pixels. Only their ratio matters.

        Returns:
            names to tensors, (B, ...) each, on the keys' device.
        """
        if keys.ndim != 1 or keys.dtype != torch.int64:
            raise ValueError(f"keys must be int64 of shape (B,); got {keys.dtype} of shape {tuple(keys.shape)}")
        check_storage(keys)
        with without_autocast(keys.device):
            return self._draw(keys, height, width)

    def apply(
        self,
        image: Tensor | Callable[[nn.Module], None],
        parameters: Parameters | None = None,
        mask: Tensor | None = None,
    ) -> Any:
        """Applies given parameters: differentiable in the image and in every continuous parameter.

        Args:
            image: (B, C, H, W) in [0, 1].
            parameters: as `draw` returns them, for B samples.
            mask: (B, 1, H, W), 1 inside the field of view; estimated from the image if not given.

        Returns:
            (B, C, H, W) in [0, 1].

        `nn.Module.apply(function)`, which this name hides, still works: it is meant when a function is given.
        """
        if not isinstance(image, Tensor) and callable(image):
            return super().apply(image)
        if parameters is None:
            raise TypeError("apply needs parameters, as draw returns them; to draw and apply, call the module itself")
        self._check_image(image, mask)
        self._check_parameters(parameters, image)
        with without_autocast(image.device):
            return self._degrade(image, parameters, mask, drawn=False)

    def forward(self, image: Tensor, keys: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Degrades a batch: `sample` without the parameters."""
        return self.sample(image, keys, mask)[0]

    def sample(
        self, image: Tensor, keys: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Parameters]:
        """Draws parameters and applies them.

        Args:
            image: (B, C, H, W) in [0, 1].
            keys: (B,) int64, one per sample, from `make_keys`; if not given, from torch's global generator.
            mask: (B, 1, H, W), 1 inside the field of view; estimated from the image if not given.

        Returns:
            the degraded images, and the parameters that `apply` makes them again from.
        """
        self._check_image(image, mask)
        if keys is None:
            keys = keyed.random_keys(image.shape[0], image.device)
        if keys.shape != image.shape[:1]:
            raise ValueError(f"keys has shape {tuple(keys.shape)} for {image.shape[0]} images; give one key per image")
        parameters = self.draw(keys.to(image.device), *image.shape[-2:])
        with without_autocast(image.device):
            return self._degrade(image, parameters, mask, drawn=True), parameters

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Has torch.compile compile, at the next call, what the model says is worth it; the rest stays as it is.

        Use this, not torch.compile on the module: random numbers are drawn outside of the graph, and keep their bits.
        """
        self.compiled = True

    def field_of_view(self, image: Tensor) -> Tensor:
        """The mask that is used where none is given: the whole frame, unless a model knows better.

        (B, C, H, W) -> (B, 1, H, W), 1 inside.
        """
        return image.new_ones(image.shape[0], 1, *image.shape[-2:])

    def stages(self, parameters: Parameters) -> dict[str, Parameters]:
        """The stages that these parameters go through, in order: names to parameters with which only that one acts."""
        return {"degraded": parameters}

    def to_toml(self) -> str:
        """The recipe as TOML that `recipe` reads back: every setting with its unit and meaning as a comment."""
        lines = [f"# {line}" for line in self.citation.splitlines()]
        lines.append(f"recipe = {_toml(self.name)}")
        for name, setting in self.settings_table.items():
            unit = f"[{setting.unit}] " if not isinstance(setting, Choice) and setting.unit else ""
            lines += ["", f"# {unit}{setting.meaning}", f"{name} = {_toml(self.settings[name])}"]
        return "\n".join(lines) + "\n"

    def extra_repr(self) -> str:
        """The recipe's name and whatever differs from the model's defaults."""
        table = self.settings_table
        changed = (f"{k}={v}" for k, v in self.settings.items() if v != table[k].read(k, table[k].default))
        return ", ".join([repr(self.name), *changed])

    # for subclasses

    @abstractmethod
    def _draw(self, keys: Tensor, height: int, width: int) -> Parameters:
        """Parameters for (B,) keys and images of this height and width."""

    @abstractmethod
    def _degrade(self, image: Tensor, parameters: Parameters, mask: Tensor | None, *, drawn: bool) -> Tensor:
        """The work; `drawn` says that the parameters come from this recipe and so lie within its ranges."""

    def _check_image(self, image: Tensor, mask: Tensor | None) -> None:
        kind = type(self).__name__
        if not isinstance(image, Tensor) or not image.is_floating_point():
            got = image.dtype if isinstance(image, Tensor) else type(image).__name__
            raise TypeError(
                f"{kind} takes a float tensor in [0, 1], got {got}; degrade.images.image_io.to_float converts"
            )
        check_storage(image)
        if image.ndim != 4 or image.shape[1] not in self.channels or min(image.shape[-2:]) < SMALLEST_SIDE:
            raise ValueError(
                f"{kind} takes images (B, C, H, W) with C in {self.channels}, H and W at least {SMALLEST_SIDE}; "
                f"got shape {tuple(image.shape)}"
            )
        if not self.looks_at_values and (image.device.type == "cpu" or self.validate):
            check_values(image.detach())
        if mask is not None and mask.shape != (image.shape[0], 1, *image.shape[-2:]):
            raise ValueError(f"mask must be (B, 1, H, W) for images {tuple(image.shape)}; got {tuple(mask.shape)}")

    @functools.cached_property
    def _names(self) -> tuple[str, ...]:
        """Of the parameters, which no draw is without."""
        return tuple(self.draw(torch.zeros(1, dtype=torch.int64, device="cpu"), SMALLEST_SIDE, SMALLEST_SIDE))

    def _check_parameters(self, parameters: Mapping[str, Tensor], image: Tensor) -> None:
        for name in self._names:
            if name not in parameters:
                raise ValueError(f"parameters lack {name!r}; they have {', '.join(parameters)}")
        for name, value in parameters.items():
            check_storage(value)
            if value.shape[:1] != image.shape[:1]:
                raise ValueError(f"parameter {name!r} has shape {tuple(value.shape)} for {image.shape[0]} images")


def check_values(image: Tensor) -> None:
    """ValueError for NaN, and for values outside [0, 1]."""
    if not image.numel() or _surely_fits(image):
        return
    low, high = (float(end) for end in torch.aminmax(image))
    if not (low >= 0 and high <= 1):  # false for NaN as well
        raise ValueError(f"image must lie in [0, 1] and be finite; it spans [{low:g}, {high:g}]")


def _surely_fits(image: Tensor) -> bool:
    """Whether no value can be outside [0, 1]: one look at the bits, on a CPU. False need not mean that one is."""
    if image.device.type != "cpu" or image.dtype not in _BITS:
        return False
    bits, one = _BITS[image.dtype]
    return bool(image.numpy().view(bits).max() <= one)


# as whole numbers the bits of positive floats are in the floats' order, and NaN and all negative ones come after 1
_BITS: dict[torch.dtype, tuple[Any, Any]] = {
    torch.float32: (np.uint32, np.float32(1).view(np.uint32)),
    torch.float64: (np.uint64, np.float64(1).view(np.uint64)),
}


def read_toml(text: str) -> dict[str, Any]:
    """The settings in a recipe's TOML, lists as pairs; its tables (what a command notes beside them) left out."""
    return {name: value for name, value in parse_toml(text).items() if not isinstance(value, dict)}


def _toml(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(end) for end in value) + "]"
    return repr(value) if isinstance(value, float) else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
