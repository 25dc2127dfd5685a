"""Read and write safetensors files with a checksum of the whole file. Nothing in a file is trusted.

The checksum is an entry of the file's metadata: BLAKE2b of the file with zeros in place of the checksum. So it covers
every byte, and any program that reads safetensors can read these files. A program that changes one must remove
"checksum" and set "format" to an older format, which has none.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from degrade.files import write_bytes
from degrade.text import TextError, parse_json

CHECKSUM = "checksum"
_EMPTY = "0" * 64
_BEFORE = f'"{CHECKSUM}":"'.encode()


class TensorFileError(ValueError):
    """A file that is missing, damaged, or not safetensors. The message is the reason, without the file's name."""


@dataclass(frozen=True)
class TensorFile:
    """Content of a tensor file.

    Attributes:
        tensors: by name, on the CPU.
        about: metadata, without the checksum.
        checked: whether it has a checksum, which is correct.
    """

    tensors: dict[str, Tensor]
    about: dict[str, str]
    checked: bool


def digest(data: bytes) -> str:
    """BLAKE2b of some bytes, 256 bits as 64 hexadecimal digits.

    >>> digest(b"")[:8]
    '0e5751c0'
    """
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def pack(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> bytes:
    """The bytes of a tensor file, with its checksum."""
    from safetensors.torch import save

    data = save(dict(tensors), {**about, CHECKSUM: _EMPTY})
    place = data.index(_BEFORE + _EMPTY.encode()) + len(_BEFORE)
    return b"".join((data[:place], digest(data).encode(), data[place + len(_EMPTY) :]))


def write_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write a tensor file atomically; raises OSError."""
    write_bytes(path, pack(tensors, about))


def read_tensors(path: str | os.PathLike[str]) -> TensorFile:
    """Read a tensor file, with or without a checksum.

    Raises:
        TensorFileError: it does not exist, its checksum is wrong, or it is not safetensors.
        PermissionError: it may not be read.
    """
    file = Path(path)
    try:
        if not file.is_file():
            raise TensorFileError("is no file" if file.exists() else "does not exist")
        data = file.read_bytes()
    except PermissionError:
        raise
    except OSError as error:
        raise TensorFileError(f"cannot be read: {error.strerror or error}") from None
    return unpack(data)


def unpack(data: bytes) -> TensorFile:
    """Decode the bytes of a tensor file; errors as for `read_tensors`."""
    about, end = _metadata(data)
    checksum = about.pop(CHECKSUM, None)
    if checksum is not None:
        place = data.find(_BEFORE, 0, end) + len(_BEFORE)
        whole = hashlib.blake2b(data[:place], digest_size=32)
        whole.update(_EMPTY.encode())
        whole.update(memoryview(data)[place + len(_EMPTY) :])
        if whole.hexdigest() != checksum:
            raise TensorFileError("is damaged: its checksum does not fit")
    return TensorFile(_tensors(data), about, checksum is not None)


def _metadata(data: bytes) -> tuple[dict[str, str], int]:
    """The metadata of a safetensors file, and where its header ends."""
    length = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else 0
    if not 2 <= length <= len(data) - 8:
        raise TensorFileError("is damaged, or no safetensors file: it has no header")
    try:
        header = parse_json(data[8 : 8 + length], dict[str, object])
    except TextError as error:
        raise TensorFileError(f"is damaged, or no safetensors file: its header: {error}") from None
    about = header.get("__metadata__", {})
    if not isinstance(about, dict) or not all(isinstance(value, str) for value in about.values()):
        raise TensorFileError("is damaged, or no safetensors file: its metadata are no texts")
    return dict(about), 8 + length


def _tensors(data: bytes) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, OverflowError, AttributeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TensorFileError(f"is damaged, or no safetensors file: {reason}") from None
