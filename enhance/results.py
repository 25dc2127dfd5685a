"""Results of other programs as a method: a folder with an enhanced image for each image, by its id."""

from __future__ import annotations

from torch import Tensor

from degrade.images import image_io
from degrade.stream import Source
from enhance.cases import Case


class Results:
    """Enhanced images that exist.

    Args:
        source: the images, with the ids of those that they were made of.
        size: side that they are fitted into, as the images to measure are; None keeps theirs.
    """

    def __init__(self, source: Source, size: int | None = None) -> None:
        self.source, self._size = source, size
        self._places = {id_: place for place, id_ in enumerate(source.ids)}

    def enhanced(self, case: Case) -> Tensor:
        """The enhanced image of a case, float (C, H, W); ValueError where there is none, or one of another size."""
        if case.id not in self._places:
            raise ValueError(f"{self.source.title} has no result of that name")
        image = image_io.to_float(self.source.load(self._places[case.id])["image"])
        if self._size is not None:
            image = image_io.resize(image, self._size)
        if image.shape != case.image.shape:
            found, wanted = tuple(image.shape), tuple(case.image.shape)
            raise ValueError(f"{self.source.title}: its result is {found}, the image {wanted}")
        return image
