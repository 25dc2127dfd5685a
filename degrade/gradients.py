"""Calls with gradients by compiled twins: one way forwards, one back, and the definition for second derivatives.

Nothing is kept between the two ways but what the call was given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from degrade.backend import Operation, run
from degrade.call import Call
from degrade.isolation import without_autocast
from degrade.packing import Packed

Definition = Callable[[Call], Tensor]


@dataclass(frozen=True)
class Back:
    """The way back of one call, as its definition and its compiled twins get it.

    Args:
        call: as it was on the way forwards, without gradients.
        gradient: (B, C, H, W) float32, the derivatives in the degraded image.
        image_too: whether those in the image are asked for.
        names: the parameters whose derivatives are asked for.
    """

    call: Call
    gradient: Tensor
    image_too: bool
    names: tuple[str, ...]

    def of_rows(self, rows: Tensor) -> list[Tensor]:
        """From the derivatives in the packed rows, (B, columns), to those in the parameters that are asked for."""
        assert self.call.packed is not None
        parts = Packed(self.call.packed.table, rows.to(torch.float32), self.call.packed.count).unpack()
        return [parts[name] for name in self.names]


Derivatives = tuple[Tensor | None, ...]
"""In the image, if they are asked for, and in each of the parameters."""


def with_gradients(forwards: Definition, backwards: Operation, definition: Definition, call: Call) -> Tensor:
    """What a twin makes of a call, with its derivatives in the image and in the parameters that require them.

    Args:
        forwards: the twin without gradients.
        backwards: an operation that makes `Derivatives` of a `Back`, whose definition is autograd's.
        definition: of the call, which second derivatives are those of.
        call: whose mask requires no gradient.
    """
    assert call.packed is not None
    reals = [p.name for p in call.packed.table if p.kind == "real"]
    names = tuple(name for name in reals if call.parameters[name].requires_grad)
    values = [call.parameters[name].to(torch.float32) for name in names]
    kept = {name: value.detach() for name, value in call.packed.unpack().items()}
    own = replace(call, image=call.image.detach(), parameters=kept)
    degraded: Tensor = _Twin.apply(  # type: ignore[no-untyped-call]
        _Ways(forwards, backwards, definition, own, names), call.image.to(torch.float32), call.mask, *values
    )
    return degraded


@dataclass(frozen=True)
class _Ways:
    forwards: Definition
    backwards: Operation
    definition: Definition
    call: Call
    names: tuple[str, ...]


class _Twin(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, ways: _Ways, image: Tensor, mask: Tensor | None, *values: Tensor) -> Tensor:
        ctx.ways = replace(ways, call=replace(ways.call, image=image.new_empty(0), mask=None))
        ctx.save_for_backward(image, mask, *values)
        return ways.forwards(replace(ways.call, image=image))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        image, mask, *values = ctx.saved_tensors
        ways: _Ways = ctx.ways
        image_too = ctx.needs_input_grad[1]
        names = tuple(name for name, needed in zip(ways.names, ctx.needs_input_grad[3:], strict=True) if needed)
        given = dict(zip(ways.names, values, strict=True))
        with without_autocast(image.device):
            if torch.is_grad_enabled():  # derivatives of these derivatives may be asked for
                call = replace(ways.call, image=image, mask=mask, parameters=ways.call.parameters | given)
                back = Back(call, gradients[0], image_too, names)
                found = _by_autograd(ways.definition, back)
            else:
                call = replace(ways.call, image=image.detach(), mask=mask)
                back = Back(call, gradients[0], image_too, names)
                found = run(ways.backwards, lambda back: _by_autograd(ways.definition, back), (back,), image.device)
        by_name = dict(zip(names, found[1:], strict=True))
        return None, found[0], None, *(by_name.get(name) for name in ways.names)


def _by_autograd(definition: Definition, back: Back) -> Derivatives:
    """Through the definition; with derivatives of their own where the call's tensors require them."""
    call, twice = back.call, torch.is_grad_enabled()
    with torch.enable_grad():
        # others that are made of the image, or the image itself made of a parameter, must not count
        image = call.image.view_as(call.image) if twice else call.image.detach().requires_grad_()
        leaves = {
            name: call.parameters[name].view_as(call.parameters[name])
            if twice
            else call.parameters[name].detach().requires_grad_()
            for name in back.names
        }
        degraded = definition(replace(call, image=image, parameters=call.parameters | leaves))
        wanted = [image, *leaves.values()] if back.image_too else [*leaves.values()]
        if not degraded.requires_grad:
            return (None,) * (1 + len(leaves))
        found = torch.autograd.grad(degraded, wanted, back.gradient, create_graph=twice, allow_unused=True)
    return found if back.image_too else (None, *found)
