"""Commands on disks that are full: real ones, since root may write whatever the mode bits say."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@cache
def _permitted():
    if shutil.which("unshare") is None:
        return "there is no unshare on this system"
    trial = "mount -t tmpfs -o size=64k tmpfs /mnt"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", trial], capture_output=True, text=True, timeout=30)
    return "" if done.returncode == 0 else f"unshare -rm and mount are not permitted here: {done.stderr.strip()}"


def run(words, *, full=None, room=0, after=(), timeout=120):
    """Runs a command of ours in a mount namespace of its own; skips the test where that is not permitted.

    Args:
        words: of the command, such as ["enhance", "apply", ...].
        full: a folder, whose content is put on a file system that is full but for `room` bytes.
        after: words of another command, which is run in the same place afterwards: what it prints comes last.
    """
    if reason := _permitted():
        pytest.skip(reason)
    steps = []
    if full is not None:
        folder = shlex.quote(str(full))
        steps += [
            "copy=$(mktemp -d)",
            f"cp -a {folder}/. $copy",
            f"mount -t tmpfs -o size=$(( $(du -sb $copy | cut -f1) + 131072 + {room} )) tmpfs {folder}",
            f"cp -a $copy/. {folder}",
            "rm -r $copy",
            f"head -c $(( $(df --output=avail -B1 {folder} | tail -1) - {room} )) /dev/zero > {folder}/.fill",
        ]
    steps += [_line(words), "status=$?", *([_line(after)] if after else []), "exit $status"]
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", "\n".join(steps)],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def _line(words):
    program, *rest = map(str, words)
    known = {"enhance": [sys.executable, "-m", "cli.enhance"], "degrade": [sys.executable, "-m", "cli.degrade"]}
    return shlex.join([*known.get(program, [program]), *rest])


def told(done, *parts):
    """Asserts that a command ended with status 1 and one line, which says all of this."""
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, done.stderr
    for part in parts:
        assert part in errors[0], errors
    return errors[0]
