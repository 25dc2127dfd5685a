"""Compiled kernels on disk: checked before they are used, in a folder that only its user can write to.

What is damaged is dropped and compiled again. Where nothing can be kept, kernels are compiled in every process. A file
holds machine code: whoever can write to the folder can run code as its user, so a folder that others can write to is
not used.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import pickle
import shutil
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import CompileResultCacheImpl, _Cache

from degrade.files import write_bytes

_LOG = logging.getLogger("degrade")
_DIGEST = 32
_SOURCES = ("jit/*.py", "ops/*.py", "rng/*.py", "fov/*.py", "models/**/*.py", "parameters.py", "packing.py")
_UNUSED = 30 * 24 * 3600.0  # seconds after which kernels of other versions of the sources are deleted


def folder() -> Path:
    """Where kernels are kept: DEGRADE_CACHE_DIR, or degrade-enhance/kernels in the user's cache folder."""
    given = os.environ.get("DEGRADE_CACHE_DIR")
    if given:
        return Path(given)
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "degrade-enhance" / "kernels"


@functools.cache
def sources_digest() -> str:
    """A digest of the sources that kernels are made of: a kernel has in it what it calls, and constants of others."""
    digest = hashlib.blake2b(digest_size=8)
    package = Path(__file__).parents[1]
    for pattern in _SOURCES:
        for file in sorted(package.glob(pattern)):
            digest.update(file.read_bytes())
    return digest.hexdigest()


class KernelCache(_Cache):
    """The cache of one function, by its argument types, the processor, and the versions of everything.

    Args:
        function: what is compiled.
        root: the folder; `folder()` if not given.
    """

    def __init__(self, function: Callable[..., Any], root: Path | None = None) -> None:
        self._function = function
        self.root = root or folder()
        self._folder = self.root / sources_digest()
        self._enabled = True

    @property
    def cache_path(self) -> str:
        return str(self._folder)

    def holds(self, sig: Any, target_context: Any) -> bool:
        """Whether there is a file for these argument types; it may be damaged."""
        try:
            return self._path(sig, target_context.codegen()).exists()
        except OSError:
            return False

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function from disk; None where it is not there, or not as it was written."""
        target_context.refresh()
        path = self._path(sig, target_context.codegen())
        try:
            if not self._enabled or not path.exists():
                return None
            _check_private(self._folder)
            data = path.read_bytes()
            if data[:_DIGEST] != _digest(data[_DIGEST:]):
                raise ValueError("damaged")
            return _REDUCER.rebuild(target_context, pickle.loads(data[_DIGEST:]))
        except Exception as error:  # unpickling raises any; the function is compiled then
            _warn(f"a compiled kernel in {str(self._folder)!r} cannot be used ({_reason(error)}); it is compiled again")
            _delete(path)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled function; one warning in a process where that fails."""
        try:
            if not self._enabled or not _REDUCER.check_cachable(data):
                return
            _make_private(self._folder)
            content = pickle.dumps(_REDUCER.reduce(data), protocol=pickle.HIGHEST_PROTOCOL)
            write_bytes(self._path(sig, data.codegen), _digest(content) + content)
        except Exception as error:  # a full disk, no home, a folder that others can write to
            _warn(
                f"compiled kernels cannot be kept in {str(self._folder)!r} ({_reason(error)}): each process compiles "
                "them again; DEGRADE_CACHE_DIR names another folder"
            )

    def enable(self) -> None:
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def flush(self) -> None:
        """Delete what is kept of this function."""
        for path in self._folder.glob(f"{self.name}-*.kernel"):
            _delete(path)

    @property
    def name(self) -> str:
        """Of the function, as files can be called."""
        return f"{self._function.__module__}.{self._function.__qualname__}".replace("<", "").replace(">", "")

    def _path(self, sig: Any, codegen: Any) -> Path:
        about = (numba.__version__, sys.version, sys.platform, str(sig), codegen.magic_tuple())
        digest = hashlib.blake2b(repr(about).encode() + self._function.__code__.co_code, digest_size=12)
        return self._folder / f"{self.name}-{digest.hexdigest()}.kernel"


class _Reducer(CompileResultCacheImpl):
    """Numba's way from a compiled function to what can be pickled, and back."""

    def __init__(self) -> None:
        pass  # no file names: `KernelCache` makes them


_REDUCER: Any = _Reducer()


def _make_private(path: Path) -> None:
    new = not path.exists()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_private(path)
    if new:
        _forget_unused(path.parent)


def _check_private(path: Path) -> None:
    """PermissionError where others could put files into a folder."""
    if os.name != "posix":
        return
    about = path.stat()
    if about.st_uid != os.geteuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError("others can write to it")


def _forget_unused(root: Path) -> None:
    """Delete the kernels of other versions that have not been written for a month."""
    for other in root.iterdir():
        if other.is_dir() and len(other.name) == 16 and time.time() - other.stat().st_mtime > _UNUSED:
            shutil.rmtree(other, ignore_errors=True)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST).digest()


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        _LOG.debug("cannot delete %s", path)


def _reason(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return text.strip().splitlines()[0] if text.strip() else type(error).__name__


@functools.cache
def _warn(message: str) -> None:
    _LOG.warning(message)
