"""Learning rates as functions of the step, so that no scheduler state has to be saved."""

from __future__ import annotations

import math


def linear_decay(lr: float, number: int, steps: int, share: float) -> float:
    """`lr`, with a linear decay over the last `share` of the steps that reaches 0 just after the last one.

    Args:
        lr: learning rate.
        number: of the step, from 0.
        steps: in all.
        share: of the steps, in [0, 1]; 0 means no decay.

    >>> [round(linear_decay(1.0, number, 8, 0.5), 2) for number in range(8)]
    [1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    falling = share * steps
    return lr if falling <= 0 else lr * min(1.0, max(0.0, (steps - number) / falling))


def cosine(lr: float, least: float, number: int, steps: int) -> float:
    """Cosine decay from `lr` in step 0 to `least` in the last step and after.

    >>> [round(cosine(1.0, 0.0, number, 5), 2) for number in range(5)]
    [1.0, 0.85, 0.5, 0.15, 0.0]
    """
    way = min(1.0, number / max(1, steps - 1))
    return least + (lr - least) * (1 + math.cos(math.pi * way)) / 2


def warm_up_then_halve(lr: float, start: float, number: int, warm_up: int, halve_every: int) -> float:
    """Linear warm-up from `start` to `lr` within `warm_up` steps, and halving after each `halve_every` steps.

    Both count from step 0.

    >>> [warm_up_then_halve(1.0, 0.5, number, 2, 3) for number in range(7)]
    [0.5, 0.75, 1.0, 0.5, 0.5, 0.5, 0.25]
    """
    if number < warm_up:
        return start + (lr - start) * number / warm_up
    return float(lr * 0.5 ** (number // halve_every))
