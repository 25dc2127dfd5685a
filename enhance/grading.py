"""Quality of photographs by a grader of other packages: FIQA and WFQA, as PCE-Net reports them with MCF-Net.

No grader comes with this package. One is a function of images (B, C, H, W) in [0, 1] to scores (B, 3) of the classes
good, usable and reject, in the order of EyeQ's 0, 1 and 2; the largest decides.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from enhance.outsiders import open_outsider

WEIGHTS = (2.0, 1.0, 0.0)
"""What WFQA counts for good, usable and reject."""


class GradingError(ValueError):
    """A grader that returns something else than three scores of each image."""


class Grader:
    """A function to scores (B, 3) as the numbers FIQA and WFQA of each image.

    Args:
        function: of images (B, C, H, W) in [0, 1].
        name: for messages.

    >>> Grader(lambda image: torch.tensor([[0.1, 0.7, 0.2]]), "mine")(torch.rand(1, 3, 8, 8))
    {'FIQA': 0.0, 'WFQA': 1.0}
    """

    def __init__(self, function: Callable[[Tensor], object], name: str) -> None:
        self._function, self._name = function, name

    @torch.no_grad()
    def __call__(self, image: Tensor) -> dict[str, float]:
        """FIQA, 1 if the image is good, and WFQA, 2, 1 or 0; of one image (1, C, H, W). Their means are the paper's."""
        scores = self._function(image)
        if not isinstance(scores, Tensor) or scores.shape != (1, 3):
            got = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise GradingError(f"{self._name} returned {got} for one image: scores (1, 3) of good, usable, reject")
        best = int(scores.argmax(dim=1))
        return {"FIQA": float(best == 0), "WFQA": WEIGHTS[best]}


def open_grader(text: str, device: torch.device) -> Grader:
    """A grader by FILE.pt2 or module:function; OutsiderError where it cannot be opened."""
    return Grader(open_outsider(text, device), text)
