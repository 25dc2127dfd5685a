"""Names of the files in the folder of a paired data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from degrade.pairs.tar import member_key

RECIPE = "recipe.toml"
FAILED = "failed.jsonl"
MANIFEST = "manifest.jsonl"
FOLDERS = {"files": ("clean", "degraded", "mask"), "shards": ("shards",)}
"""The folders of a data set, by how it was written."""


@dataclass(frozen=True)
class Layout:
    """The names of the files of the data set in `root`; `format` is that of the degraded images."""

    root: Path
    format: str = "png"

    @property
    def suffix(self) -> str:
        """The suffix of the degraded images."""
        return ".jpg" if self.format == "jpeg" else f".{self.format}"

    def clean(self, id_: str) -> Path:
        """The file of a clean image."""
        return self.root / "clean" / f"{id_}.png"

    def mask(self, id_: str) -> Path:
        """The file of its field of view."""
        return self.root / "mask" / f"{id_}.png"

    def degraded(self, id_: str, view: int) -> Path:
        """The file of one of its degraded views."""
        return self.root / "degraded" / f"{id_}_v{view}{self.suffix}"

    def files(self, id_: str, view: int) -> dict[str, Path]:
        """All files of one line of the manifest: "clean", "mask" and "degraded"."""
        return {"clean": self.clean(id_), "mask": self.mask(id_), "degraded": self.degraded(id_, view)}

    def shard(self, name: str) -> Path:
        """A shard."""
        return self.root / "shards" / name

    def member(self, id_: str, name: str, view: int = 0) -> str:
        """The name, within a shard, of a file of an image: of "clean", "mask", "degraded" or "json".

        >>> layout = Layout(Path("pairs"), "jpeg")
        >>> layout.member("a", "clean"), layout.member("a", "degraded", 1)
        ('a.png', 'a.degraded_v1.jpg')
        """
        ends = {"clean": ".png", "mask": ".mask.png", "degraded": f".degraded_v{view}{self.suffix}", "json": ".json"}
        return member_key(id_) + ends[name]


def stays_inside(id_: str) -> bool:
    """Whether an id, read from a file, names something within its data set.

    >>> stays_inside("left/drive_01"), stays_inside("../../etc/passwd"), stays_inside("/etc/passwd")
    (True, False, False)
    """
    path = PurePosixPath(id_)
    return bool(id_) and not path.is_absolute() and ".." not in path.parts and "\0" not in id_
