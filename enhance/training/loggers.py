"""Another log beside log.jsonl: TensorBoard's events, a table, or any logger of Lightning Fabric."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from enhance.outsiders import OutsiderError, imported, is_outsider
from enhance.training.processes import RunError

if TYPE_CHECKING:
    from lightning_fabric.loggers.logger import Logger

FOLDERS = ("tensorboard", "csv")
"""Names of loggers that come with Fabric, and of their folders in that of the run."""


def check(name: str) -> None:
    """Refuse a logger that cannot be had, before anything is written.

    Args:
        name: "none", "tensorboard", "csv", or "module:class".

    Raises:
        RunError: another name, or a module or class that is not there.
        ModuleNotFoundError: TensorBoard is not installed.
    """
    if name in ("none", "csv"):
        return
    if name == "tensorboard":
        try:
            import torch.utils.tensorboard  # noqa: F401
        except ImportError:
            raise ModuleNotFoundError("TensorBoard is not installed: pip install tensorboard") from None
        return
    _class(name)


def opened(name: str, run: Path, step: int) -> Logger | None:
    """The logger of a run that goes on after a step; None for "none".

    Args:
        name: as `check` takes it. A class is called with the folder of the run.
        run: the folder.
        step: steps done: events of later ones are hidden by TensorBoard, tables have a folder for each start.
    """
    if name == "none":
        return None
    if name == "tensorboard":
        from lightning_fabric.loggers.tensorboard import TensorBoardLogger

        return TensorBoardLogger(run, name="tensorboard", version="", purge_step=step + 1)
    if name == "csv":
        from lightning_fabric.loggers.csv_logs import CSVLogger

        return CSVLogger(run, name="csv", version=f"from_{step:06d}", flush_logs_every_n_steps=1)
    made: Logger = _class(name)(str(run))
    for method in ("log_metrics", "finalize"):
        if not callable(getattr(made, method, None)):
            raise RunError(
                f"logger = {name!r}: {type(made).__name__} has no {method}, as loggers of Lightning Fabric have"
            )
    return made


def _class(name: str) -> Any:
    """What "module:class" names."""
    if not is_outsider(name) or name.endswith(".pt2"):
        raise RunError(f"logger = {name!r}: allowed is none, tensorboard, csv or module:class")
    try:
        return imported(name)
    except OutsiderError as error:
        raise RunError(f"logger = {name!r}: {error}") from None
