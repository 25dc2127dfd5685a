"""`degrade.backend`: choose a backend, ask which one serves, compile ahead."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import torch
from torch import Tensor

from degrade.backend import NAMES, Operation, Refusal, choose, override
from degrade.base import Degradation
from degrade.jit.ahead import Postponed, Work, collecting, compile_all
from degrade.recipes import RECIPES, recipe
from degrade.rng.keyed import make_keys


class Backends:
    """`degrade.backend`: choose a backend for a block of code, or ask which one serves a call."""

    names = NAMES

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Use one backend for all calls in a `with` block of this thread.

        Args:
            name: "reference", "cpu" or "gpu". What it does not serve (gradients, other devices) the definition does.

        Raises:
            ValueError: for another name.
        """
        if name not in NAMES:
            raise ValueError(f"backend {name!r}: allowed is one of {', '.join(NAMES)}")
        token = override.set(name)
        try:
            yield
        finally:
            override.reset(token)

    @staticmethod
    def warm_up(recipes: Iterable[str | Degradation] | None = None, gradients: bool = False) -> float:
        """Compile what recipes need on this machine's CPU ahead of the first call: in Docker images, on clusters.

        Several processes share the work, no more than there are cores for this one.

        Args:
            recipes: names or recipes; all named ones if not given.
            gradients: compile the way back as well, stage by stage.

        Returns:
            the seconds that it took: a fraction of one where everything was there.
        """
        start = time.perf_counter()
        chosen = [recipe(one) if isinstance(one, str) else one for one in (RECIPES if recipes is None else recipes)]
        compile_all(needed_kernels(chosen))
        for degradation in chosen:
            for channels in degradation.channels:
                image = torch.full((2, channels, 64, 64), 0.5)
                degradation(image, make_keys(0, 2))
                degradation(image, make_keys(0, 2), torch.ones(2, 1, 64, 64))
                if gradients:
                    _back(degradation, image)
        return time.perf_counter() - start

    @staticmethod
    def explain(recipe: Degradation, image: Tensor) -> str:
        """Which backend would degrade these images, operation by operation, and why the others would not.

        Args:
            recipe: the degradation.
            image: (B, C, H, W); only its type, shape and device matter.

        Returns:
            a few lines of text.

        >>> import degrade
        >>> with degrade.backend("reference"):
        ...     print(degrade.backend.explain(degrade.recipe("cataract"), torch.zeros(1, 3, 64, 64)).splitlines()[0])
        cataract: reference
        """
        gradients = torch.is_grad_enabled() and image.requires_grad
        lines: list[str] = []
        contained: tuple[Operation, ...] = ()
        for operation in recipe.operations:
            if operation in contained:
                continue
            wanted = gradients and not operation.detached
            choice = choose(operation, image.device, wanted, _refusal(recipe, operation, image))
            if choice.name != "reference":
                contained += operation.contains
            lines.append(f"{operation.name}: {choice.name}")
            lines += [f"  not {name}: {why}" for name, why in choice.reasons.items()]
        return "\n".join(lines)


def serving(recipe: Degradation, image: Tensor) -> str:
    """The backends that degrade these images without gradients, joined by "+" where operations have different ones."""
    names = {
        choose(operation, image.device, refuses=_refusal(recipe, operation, image)).name
        for operation in recipe.operations
    }
    return "+".join(sorted(names))


def needed_kernels(recipes: Iterable[Degradation]) -> list[Work]:
    """The kernels that calls without gradients need and that are not on disk; one image, so that one thread asks."""
    with collecting() as work:
        for degradation in recipes:
            for channels in degradation.channels:
                image = torch.full((1, channels, 64, 64), 0.5)
                for mask in (None, torch.ones(1, 1, 64, 64)):
                    with suppress(Postponed):
                        degradation(image, make_keys(0, 1), mask)
    return work


def _back(degradation: Degradation, image: Tensor) -> None:
    """Gradients in the image and in all parameters, of all stages together and of each alone."""
    drawn, size = degradation.draw(make_keys(0, 2), *image.shape[-2:]), image.shape[-2:]
    for parameters in (drawn, *degradation.stages(drawn).values()):
        leaves = {n: v.clone().requires_grad_(v.is_floating_point()) for n, v in parameters.items()}
        degraded = degradation.apply(image.clone().requires_grad_(), leaves, torch.ones(2, 1, *size))
        degraded.sum().backward()


def _refusal(recipe: Degradation, operation: Operation, image: Tensor) -> Refusal:
    """What the images rule out, and for its own operation the recipe; others do not depend on its settings."""

    def refuses(name: str) -> str:
        if operation.in_float32 and image.dtype == torch.float64:
            return "images are float64"
        return recipe.refuses(name, image) if operation is recipe.operation else ""

    return refuses


backend = Backends()
