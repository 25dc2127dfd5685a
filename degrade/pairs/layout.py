"""What is where in the folder of a paired data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

RECIPE = "recipe.toml"
FAILED = "failed.jsonl"
MANIFEST = "manifest.jsonl"
FOLDERS = ("clean", "degraded", "mask")


@dataclass(frozen=True)
class Layout:
    """The names of the files of the data set in `root`; `format` is that of the degraded images."""

    root: Path
    format: str = "png"

    def clean(self, id_: str) -> Path:
        """The file of a good image."""
        return self.root / "clean" / f"{id_}.png"

    def mask(self, id_: str) -> Path:
        """The file of its field of view."""
        return self.root / "mask" / f"{id_}.png"

    def degraded(self, id_: str, view: int) -> Path:
        """The file of one of its degraded views."""
        suffix = "jpg" if self.format == "jpeg" else self.format
        return self.root / "degraded" / f"{id_}_v{view}.{suffix}"

    def files(self, id_: str, view: int) -> dict[str, Path]:
        """All files of one line of the manifest, by what they hold."""
        return {"clean": self.clean(id_), "mask": self.mask(id_), "degraded": self.degraded(id_, view)}


def stays_inside(id_: str) -> bool:
    """Whether an id, read from a file, names something within its data set.

    >>> stays_inside("left/drive_01"), stays_inside("../../etc/passwd"), stays_inside("/etc/passwd")
    (True, False, False)
    """
    path = PurePosixPath(id_)
    return bool(id_) and not path.is_absolute() and ".." not in path.parts and "\0" not in id_
