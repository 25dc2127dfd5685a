"""One run of `degrade synth`: lock, checks, this process's share of the work, the manifest."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from degrade.base import Degradation
from degrade.files import LockedError, locked
from degrade.pairs import manifest
from degrade.pairs.dataset import DataSet, Settings
from degrade.pairs.errors import PairsError
from degrade.pairs.items import Items
from degrade.pairs.layout import Layout
from degrade.pairs.making import Outcome, Plan, make_pairs
from degrade.pairs.processes import Team


def synthesize(
    items: Items,
    dest: Path,
    recipe: Degradation,
    settings: Settings,
    plan: Plan,
    team: Team,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Callable[[int], AbstractContextManager[Callable[[], object]]] = lambda total: nullcontext(lambda: None),
) -> Outcome:
    """Make a paired data set of good and degraded images in a folder.

    Args:
        items: the good images.
        dest: the folder, which must be new or empty unless one of the last two is given.
        recipe: what is done to them.
        settings: what else decides the result.
        plan: how the work is done.
        team: the processes that share the work; every one of them calls this function.
        resume: go on with the run that was stopped in the folder. Every image that it has is decoded again and
            compared, and all its files with their checksums; what does not match is made again.
        overwrite: delete the data set in the folder first.
        progress: given the number of images of this process, a context of a function to call after each.

    Returns:
        what all processes did together, in the first one; in the others what they did.

    Raises:
        PairsError: the folder cannot be used, or was deleted during the run.
        LockedError: another process is writing to it.
        OSError: it cannot be written to.
    """
    dataset = DataSet(recipe, Layout(dest, settings.format), settings)
    lock = locked(dest) if team.first else nullcontext()
    with _agreed(lock, team):
        _agree(team, lambda: dataset.prepare(items, resume=resume, overwrite=overwrite))
        lines = manifest.index(dest)
        count = len(range(team.rank, len(items), team.size))
        with progress(count) as tick, manifest.open_part(dest, team.rank) as part:
            outcome = make_pairs(dataset, items.share(team.rank, team.size), plan, lines, part, tick)
        outcomes = team.gather(outcome)
        if not team.first:
            return outcome
        total = Outcome(claimed=len(items))
        for done in outcomes:
            total += done
        total.failures.sort(key=lambda failure: failure[0].index)
        failed = {item.id for item, _ in total.failures}
        _check_there(dest)
        named = ((item.id, item.source) for item in items if item.id not in failed)
        total.pairs = manifest.merge(dest, named, dataset.keys)
        dataset.write_failures(total.failures)
        return total


def _check_there(dest: Path) -> None:
    if not dest.is_dir():
        raise PairsError("DEST", f"{str(dest)!r} was deleted while this run was writing to it")


class _agreed:
    """Enter a context in the first process; what that raises ends the others too."""

    def __init__(self, context: AbstractContextManager[Any], team: Team) -> None:
        self._context, self._team = context, team

    def __enter__(self) -> None:
        _agree(self._team, self._context.__enter__)

    def __exit__(self, *exception: Any) -> None:
        self._context.__exit__(*exception)


def _agree(team: Team, function: Callable[[], object]) -> None:
    """Call a function in the first process; what it raises, all processes raise."""
    problem: Exception | None = None
    if team.first:
        try:
            function()
        except (OSError, LockedError, ValueError) as error:
            problem = error
    refused = team.tell(str(problem) if problem is not None else None)
    if problem is not None:
        raise problem
    if refused is not None:
        raise PairsError("DEST", refused)
