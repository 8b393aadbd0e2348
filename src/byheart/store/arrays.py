"""Arrays in one file, in the safetensors format: written and read through a memory map."""

from __future__ import annotations

import json
import mmap
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from byheart.core.errors import Damaged

Array = NDArray[Any]
Shapes = Mapping[str, tuple[str, tuple[int, ...]]]
_NAMES = {"float32": "F32", "int64": "I64", "int32": "I32", "uint32": "U32", "uint16": "U16", "uint8": "U8"}
_TYPES = {name: np.dtype(kind) for kind, name in _NAMES.items()}
_CHUNK = 1 << 24


def create(path: Path, shapes: Shapes) -> dict[str, Array]:
    """A new file with room for arrays of these types and shapes, all zero, as arrays to be filled in place.

    Widest types first, so that each array is aligned. `flush` makes it durable.
    """
    places: dict[str, Any] = {}
    end = 0
    for name, (kind, shape) in sorted(shapes.items(), key=lambda item: -np.dtype(item[1][0]).itemsize):
        size = int(np.dtype(kind).itemsize * np.prod(shape, dtype=np.int64))
        places[name] = {"dtype": _NAMES[kind], "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    header = json.dumps(places).encode()
    header += b" " * (-(len(header) + 8) % 64)
    with open(path, "xb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        _allocate(file, end)
    return _map(path, write=True)


def open_file(path: Path) -> dict[str, Array]:
    """The arrays of a file, read-only and mapped, so that processes share the pages; `Damaged` when it is not whole."""
    try:
        return _map(path, write=False)
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{path} is not whole ({error}); delete it: it is made anew from the database") from error


def places(ordered: Array, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each of these rows stands among rows in order, -1 for those that are not there.

    Looked for as far from the first as their number says, which is right where none is missing, then by halving.
    """
    if not len(ordered):
        return np.full(len(rows), -1)
    at = np.clip(rows - int(ordered[0]), 0, len(ordered) - 1)
    off = np.flatnonzero(ordered[at] != rows)
    if len(off):
        off = off[np.argsort(rows[off])]
        at[off] = np.minimum(np.searchsorted(ordered, rows[off].astype(ordered.dtype)), len(ordered) - 1)
        at[off[ordered[at[off]] != rows[off]]] = -1
    return at


def flush(path: Path) -> None:
    """Wait until a file and its name are on the disk."""
    for place in (path, path.parent):
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def checksum(path: Path) -> int:
    """The CRC-32 of a file."""
    total = 0
    with open(path, "rb") as file:
        while part := file.read(_CHUNK):
            total = zlib.crc32(part, total)
    return total


def _allocate(file: BinaryIO, size: int) -> None:
    """Take room on the disk now: writing through a map where there is none would end the process."""
    file.flush()
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), file.tell(), max(size, 1))
        return
    for start in range(0, size, _CHUNK):
        file.write(bytes(min(_CHUNK, size - start)))


def _map(path: Path, *, write: bool) -> dict[str, Array]:
    with open(path, "r+b" if write else "rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_WRITE if write else mmap.ACCESS_READ)
    size = int.from_bytes(data[:8], "little")
    arrays = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        start, _ = entry["data_offsets"]
        count = int(np.prod(entry["shape"], dtype=np.int64))
        kind = _TYPES[entry["dtype"]]
        array: Array = np.empty(0, kind) if count == 0 else np.frombuffer(data, kind, count, 8 + size + start)
        arrays[name] = array.reshape(entry["shape"])
    return arrays
