"""Degradation: the one base class. A pure function of (image, parameters), which are one of (recipe, key, shape)."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from degrade.backend import Operation, Refusal, run
from degrade.call import Call
from degrade.checks import check_frame, check_image, check_values, plain
from degrade.display import recipe_html
from degrade.fov import reference as fov
from degrade.framing import in_frames
from degrade.isolation import check_storage, without_autocast
from degrade.jit.ahead import needing
from degrade.ops.constants import SMALLEST_SIDE
from degrade.packing import Packed, pack, pack_given
from degrade.parameters import Parameters, ParameterTable
from degrade.rng import keyed
from degrade.settings import Setting, Value, declared, describe, read_settings
from degrade.toml import commented


class Degradation(nn.Module, ABC):
    """A degradation with the ranges that its parameters are drawn from.

    Subclasses declare their settings in the signature of `__init__` and their parameters in `parameter_table`, and
    implement `_draw` and `_define`.

    Images are float tensors (B, C, H, W) in [0, 1], C = 1 or 3, H and W at least 32, on any device; the result has
    their shape and type. float16 and bfloat16 are computed in float32. Nothing given is ever changed. Calls leave
    no trace in the module: the parameters of a call are what `sample` returns. Subclasses of Tensor (MONAI's
    MetaTensor, torchvision's tv_tensors) are taken, and give plain tensors; `degrade.degrade` keeps them.

    Args:
        name: what the recipe is called.
        citation: where it comes from.
        validate: look for NaN and values outside the allowed range in images and parameters on a GPU too, which then
            has to be waited for; those on a CPU are always looked at.
        given: values for the settings; a number is fixed, a pair is drawn uniformly per sample.
    """

    settings_table: ClassVar[Mapping[str, Setting]] = {}
    parameter_table: ParameterTable = ParameterTable()
    operation: ClassVar[Operation] = Operation("identity")
    channels: ClassVar[tuple[int, ...]] = (1, 3)
    has_field_of_view: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "__init__" in cls.__dict__:
            cls.settings_table = declared(cls.__init__)
            cls.__doc__ = f"{cls.__doc__ or ''}\n\n{describe(cls.settings_table)}"

    def __init__(self, name: str, citation: str, validate: bool, given: Mapping[str, Any]) -> None:
        super().__init__()
        self.validate = validate
        self.name = name
        self.citation = citation
        chosen = {setting: given[setting] for setting in self.settings_table if setting in given}
        self.settings: dict[str, Value] = read_settings(self.settings_table, chosen)
        self.compiled = False

    # the interface

    def draw(self, keys: keyed.Keys, height: int, width: int) -> Parameters:
        """Draw the parameters of one degradation per key.

        Args:
            keys: (B,) int64, from `make_keys`; or a list of ids, for `make_keys(0, ids)`.
            height, width: of the images, in pixels. Only their ratio matters, and not even that for recipes
                whose frame is the field of view, a square.

        Returns:
            names to tensors, (B, ...) each, on the keys' device. They are drawn on the CPU: keys on a GPU are copied
            there, which waits for the GPU.
        """
        keys = keyed.as_keys(keys)
        if keys.ndim != 1 or keys.dtype != torch.int64:
            raise ValueError(f"keys must be int64 of shape (B,); got {keys.dtype} of shape {tuple(keys.shape)}")
        check_storage(keys)
        with without_autocast(torch.device("cpu")):
            drawn = self._draw(keys.cpu(), *self._shape(height, width))
        return drawn if keys.device.type == "cpu" else self._packed(drawn).to(keys.device).unpack()

    def apply(
        self,
        image: Tensor | Callable[[nn.Module], None],
        parameters: Parameters | None = None,
        mask: Tensor | None = None,
        frame: Tensor | None = None,
    ) -> Any:
        """Apply given parameters: differentiable in the image and in every continuous parameter.

        Args:
            image: (B, C, H, W) in [0, 1].
            parameters: as `draw` returns them, for B samples, on the CPU or on the image's device; docs/parameters.md
                says what is allowed. On a GPU they are moved into their allowed ranges unless `validate` is set.
            mask: (B, 1, H, W), 1 inside the field of view; estimated from the image if not given.
            frame: (B, 4), left, top, width and height in pixels of what lengths and points refer to, for models with
                a setting of that name. By default it says which: "fov", the square around the mask's bounding box, or
                "image", the whole image.

        Returns:
            (B, C, H, W) in [0, 1].

        Raises:
            ValueError: a parameter that is missing, of another shape, not finite or out of its range, by name.
            TypeError: a parameter that is of another type.

        `nn.Module.apply(function)`, which this name hides, still works: it is meant when a function is given.
        """
        if not isinstance(image, Tensor) and callable(image):
            return super().apply(image)
        if parameters is None:
            raise TypeError("apply needs parameters, as draw returns them; to draw and apply, call the module itself")
        self._check_image(image, mask, frame)
        image, mask = plain(image), plain(mask)
        with without_autocast(image.device):
            given = pack_given(self.parameter_table, parameters, image, self.validate)
            return self._degrade(image, *given, mask, frame)

    def forward(self, image: Tensor, keys: keyed.Keys | None = None, mask: Tensor | None = None) -> Tensor:
        """Degrade a batch: `sample` without the parameters."""
        return self.sample(image, keys, mask)[0]

    def sample(
        self,
        image: Tensor,
        keys: keyed.Keys | None = None,
        mask: Tensor | None = None,
        frame: Tensor | None = None,
    ) -> tuple[Tensor, Parameters]:
        """Draw parameters and apply them.

        Args:
            image: (B, C, H, W) in [0, 1].
            keys: (B,) int64, one per sample, from `make_keys`; or a list of ids, names or whole numbers, for
                `make_keys(0, ids)`; if not given, from torch's global generator. Keys on the CPU cost no waiting for
                a GPU.
            mask: (B, 1, H, W), 1 inside the field of view; estimated from the image if not given.
            frame: see `apply`.

        Returns:
            the degraded images, and the parameters, on the images' device, that `apply` makes them again from.
        """
        self._check_image(image, mask, frame)
        if torch.compiler.is_compiling():
            return self._sample(image, keys, mask, frame)
        with needing(functools.partial(self._small_sample, image, mask is not None)):
            return self._sample(image, keys, mask, frame)

    def _sample(
        self, image: Tensor, keys: keyed.Keys | None, mask: Tensor | None, frame: Tensor | None
    ) -> tuple[Tensor, Parameters]:
        image, mask = plain(image), plain(mask)
        keys = keyed.random_keys(image.shape[0]) if keys is None else keyed.as_keys(keys)
        if keys.shape != image.shape[:1]:
            raise ValueError(f"keys has shape {tuple(keys.shape)} for {image.shape[0]} images; give one key per image")
        height, width = image.shape[-2:]
        parameters, packed = self.draw(keys.cpu(), height, width), None
        if not torch.compiler.is_compiling():
            packed = self._packed(parameters).to(image.device)
            if image.device.type != "cpu":
                parameters = packed.unpack()
        with without_autocast(image.device):
            largest = functools.partial(self._largest_drawn, *self._shape(height, width))
            return self._degrade(image, parameters, packed, largest, mask, frame), parameters

    def _small_sample(self, image: Tensor, masked: bool) -> None:
        """A call that needs the kernels that one for `image` does."""
        if image.device.type == "cpu" and not image.requires_grad and not self.compiled:
            small = torch.full((1, image.shape[1], 64, 64), 0.5, dtype=image.dtype)
            self._sample(small, keyed.make_keys(0, 1), small[:, :1] if masked else None, None)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Have torch.compile compile the definition of fundus degradations at the next call that it serves.

        Other models and calls stay as they are.

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
        names = dict.fromkeys(p.stage for p in self.parameter_table if p.stage and p.neutral is not None)
        return {name: self.parameter_table.only(parameters, name) for name in names} or {"degraded": parameters}

    def to_toml(self) -> str:
        """The recipe as TOML that `recipe` reads back: every setting with its unit and meaning as a comment."""
        entries: list[tuple[str, Value, str]] = [("recipe", self.name, "")]
        for name, setting in self.settings_table.items():
            unit = f"[{setting.unit}] " if setting.unit else ""
            entries.append((name, self.settings[name], unit + setting.meaning))
        return commented(entries, self.citation)

    def extra_repr(self) -> str:
        """The recipe's name and whatever differs from the model's defaults."""
        table = self.settings_table
        changed = (f"{k}={v}" for k, v in self.settings.items() if v != table[k].read(k, table[k].default))
        return ", ".join([repr(self.name), *changed])

    def _repr_html_(self) -> str:
        return recipe_html(self.name, self.citation, self.settings_table, self.settings)

    @property
    def operations(self) -> tuple[Operation, ...]:
        """What a call without a mask computes, for `degrade.backend.explain`."""
        return (self.operation, fov.OPERATION) if self.has_field_of_view else (self.operation,)

    def refuses(self, name: str, image: Tensor) -> str:
        """Why a backend cannot degrade these images with this recipe; empty if it can."""
        return ""

    # for subclasses

    @abstractmethod
    def _draw(self, keys: Tensor, height: int, width: int) -> Parameters:
        """Parameters for (B,) keys on the CPU and images of this height and width."""

    @abstractmethod
    def _define(self, call: Call) -> Tensor:
        """The definition: plain torch, on every device, differentiable."""

    def _largest_drawn(self, height: int, width: int) -> Mapping[str, float]:
        """At least the largest size of each kernel that this recipe can draw; the same for every batch."""
        return {}

    # checks, and the way to a backend

    def _shape(self, height: int, width: int) -> tuple[int, int]:
        """The shape that parameters are drawn for: a square frame's, or the image's."""
        return (SMALLEST_SIDE, SMALLEST_SIDE) if self.settings.get("frame") == "fov" else (height, width)

    def _degrade(
        self,
        image: Tensor,
        parameters: Parameters,
        packed: Packed | None,
        largest: Callable[[], Mapping[str, float]],
        mask: Tensor | None,
        frame: Tensor | None,
    ) -> Tensor:
        dtype = image.dtype if image.dtype == torch.float64 else torch.float32
        if self.has_field_of_view:
            mask = (self.field_of_view(image) if mask is None else mask).to(device=image.device, dtype=dtype)
        own: Literal["fov"] | None = "fov" if self.settings.get("frame") == "fov" else None
        place = own if frame is None else frame.to(torch.int64)  # where it is: a host knows its own without waiting
        call = Call(image, parameters, packed, mask, largest, self.settings, place)
        tensors = (image, *parameters.values()) if mask is None else (image, mask, *parameters.values())
        gradients = torch.is_grad_enabled() and any(value.requires_grad for value in tensors)
        refuses: Refusal = functools.partial(self.refuses, image=image)
        if gradients and mask is not None and mask.requires_grad:
            refuses = _refuse_mask
        degraded: Tensor = run(self.operation, self._by_definition, (call,), image.device, gradients, refuses)
        return degraded.to(image.dtype)

    def _by_definition(self, call: Call) -> Tensor:
        if call.image.device.type == "cpu":  # twins for a CPU look at the values themselves
            check_values(call.image.detach())
        dtype = call.image.dtype if call.image.dtype == torch.float64 else torch.float32
        parameters = {
            p.name: call.parameters[p.name].to(call.image.device, dtype if p.kind == "real" else p.dtype)
            for p in self.parameter_table
        }
        return in_frames(self._define, replace(call, image=call.image.to(dtype), parameters=parameters))

    def _packed(self, parameters: Parameters) -> Packed:
        return pack(self.parameter_table, parameters, self.parameter_table.count(parameters))

    def _check_image(self, image: Tensor, mask: Tensor | None, frame: Tensor | None) -> None:
        kind = type(self).__name__
        check_image(kind, image, self.channels, mask)
        if image.device.type != "cpu" and self.validate:  # on a CPU whoever computes looks at the values
            check_values(image.detach())
        if frame is not None:
            if "frame" not in self.settings:
                raise ValueError(f"{kind} has no frame: its parameters refer to the whole image")
            check_frame(frame, image)


def _refuse_mask(name: str) -> str:
    return "a gradient in the mask is asked for"
