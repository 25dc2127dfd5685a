"""The size at which a network is run: that of its training, unless the command says another."""

from __future__ import annotations

from collections.abc import Mapping

from enhance.inference import Enhancer
from enhance.results import Results

from .failures import say


def trained_size(enhancer: Enhancer | Results) -> int | None:
    """The side of the images that a network was trained on; None for baselines, and for networks of any size."""
    size: int | None = getattr(enhancer, "trained_size", None)
    return size


def running_sizes(
    enhancers: Mapping[str, Enhancer | Results], size: int | None, full_size: bool, tile: int | None
) -> dict[str, int]:
    """Sizes that networks are run at, by name, where they are not the images' own; what is chosen is said on stderr.

    Args:
        enhancers: by name.
        size: value of --size; networks then run at it, with a warning where they were trained at another one.
        full_size: value of --full-size: run at the images' own size.
        tile: value of --tile: tiles are cut out of images of their own size.
    """
    found: dict[str, int] = {}
    for name, enhancer in enhancers.items():
        trained = trained_size(enhancer)
        if trained is None:
            continue
        if size is not None:
            if not 0.8 * trained <= size <= 1.25 * trained:
                say(
                    f"{name} was trained on images of {trained} pixels, and is run at {size}: --size {trained}",
                    err=True,
                )
        elif full_size or tile is not None:
            say(f"{name} was trained on images of {trained} pixels, and is run at the images' own size", err=True)
        else:
            found[name] = trained
            say(
                f"{name} was trained on images of {trained} pixels, and is run at that size; its result is scaled back "
                "(--full-size runs it at the images' own)",
                err=True,
            )
    return found
