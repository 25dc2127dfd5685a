"""Malformed files through doors in another process: a crash, a hang, a traceback or much memory is a failure."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.victim import MAX_PIXELS

if TYPE_CHECKING:
    from tests.faults.conftest import Tally

ROOT = Path(__file__).parents[2]
GUARD = 60.0
"""Seconds after which an input counts as a hang."""
IMPORTED = 600_000_000
"""Bytes of the empty process: torch, kornia and the readers, which are imported as they are needed."""
MEMORY = MAX_PIXELS * 3 * 12 + 300_000_000
"""Bytes that may be taken beyond those."""


class Victim:
    """A process behind all doors, which imports once for many tests; started again after it has died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def try_all(self, door: str, files: Iterable[tuple[Path, str]], tally: Tally) -> None:
        """Give each file (path, what it is) to a door."""
        for path, about in files:
            problem = self.give(door, path)
            tally.count(f"{door}, {about}: {problem}" if problem else "")

    def give(self, door: str, path: Path) -> str:
        """What is wrong with how a file was met; "" if nothing is."""
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([door, str(path)]).encode() + b"\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], GUARD)[0]:
            self.close()
            return f"hang of more than {GUARD:g} s"
        answer = process.stdout.readline()
        if not answer:
            status = process.wait()
            self.close()
            return f"the process died with status {status}"
        said = json.loads(answer)
        if said["outcome"] == "fell":
            return said["detail"]
        if said["memory"] > IMPORTED + MEMORY:
            taken = (said["memory"] - IMPORTED) / 1e6
            self.close()
            return f"{taken:.0f} MB of memory"
        if said["outcome"] == "refused" and ("\n" in said["detail"].strip() or len(said["detail"]) < 8):
            return f"refused with {said['detail']!r}: not one line that says something"
        return ""

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.victim"],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        return self._process
