"""Weights on disk: each tensor a safetensors file named by the hash of its type, shape and bytes."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from byheart.core.errors import BadInput, Damaged, Full

if TYPE_CHECKING:
    import torch

_NAME = re.compile(r"[0-9a-f]{64}(\.safetensors)?|\.new-.*")


class Weights:
    """A content-addressed folder of tensors and adapters; what is there already is never rewritten.

    A file is written under a temporary name, flushed, renamed, and the folder flushed, so that a
    kill leaves either the whole file or none. Reading checks the hash. No pickle.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def put(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
        """Store tensors of any type and shape; gives the manifest, name -> sha256."""
        from safetensors.torch import save

        manifest: dict[str, str] = {}
        written = False
        for name, tensor in tensors.items():
            data = save({"tensor": tensor.detach().cpu().contiguous()})
            key = _hash(data)
            manifest[name] = key
            path = self._path(key)
            if not path.exists():
                self._write({path.name: data}, path)
                written = True
        if written:
            _flush(self.folder)
        return manifest

    def get(self, manifest: Mapping[str, str]) -> dict[str, torch.Tensor]:
        """Read tensors by a manifest, bit for bit as stored; `Damaged` when a tensor is missing or altered."""
        from safetensors.torch import load

        tensors: dict[str, torch.Tensor] = {}
        for name, key in manifest.items():
            fault = self.fault(key)
            if fault:
                raise Damaged(f"tensor {name}: {fault}; restore the folder from a backup, or revert to a whole version")
            tensors[name] = load(self._path(key).read_bytes())["tensor"]
        return tensors

    def fault(self, key: str) -> str | None:
        """What is wrong with a stored tensor, or None. Reads the file, needs no torch."""
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError as error:
            return f"{path.name} cannot be read ({error.strerror})"
        try:
            sound = _hash(data) == key
        except (ValueError, KeyError, TypeError):
            sound = False
        return None if sound else f"{path.name} does not match its hash"

    def put_blob(self, files: Mapping[str, bytes]) -> str:
        """Store a small folder of files, such as an adapter's configuration and weights; gives its sha256."""
        if not files:
            raise BadInput("an adapter without files cannot be stored; give at least one file")
        for name in files:
            if not name or Path(name).name != name or name == "..":
                raise BadInput(f"{name!r} is not a plain file name; an adapter's files lie side by side")
        key = _hash_files(files)
        path = self.folder / key
        if not path.exists():
            self._write(files, path)
            _flush(self.folder)
        return key

    def get_blob(self, key: str) -> dict[str, bytes]:
        """The files of a blob by name; `Damaged` when it is missing or altered."""
        path = self.folder / key
        try:
            files = {p.name: p.read_bytes() for p in sorted(path.iterdir())}
        except OSError as error:
            raise Damaged(f"{key} cannot be read ({error.strerror}); restore the folder from a backup") from error
        if _hash_files(files) != key:
            raise Damaged(f"{key} does not match its hash; restore the folder from a backup")
        return files

    def blob_path(self, key: str) -> Path:
        """The folder that holds a blob's files, for libraries that read a folder."""
        return self.folder / key

    def collect(self, keep: set[str]) -> list[str]:
        """Delete every tensor and blob whose hash is not in `keep`, and unfinished ones; gives the hashes.

        Only files that this class named are touched. Needs the folder's lock.
        """
        gone: list[str] = []
        for path in sorted(self.folder.iterdir()) if self.folder.exists() else ():
            if not _NAME.fullmatch(path.name) or path.name.removesuffix(".safetensors") in keep:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
            gone.append(path.name.removesuffix(".safetensors"))
        if gone:
            _flush(self.folder)
        return [name for name in gone if not name.startswith(".new-")]

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"

    def _write(self, files: Mapping[str, bytes], path: Path) -> None:
        """Write files into a new temporary folder and move the single file, or the folder, to its place."""
        self.folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=self.folder))
        try:
            for name, data in files.items():
                with open(scratch / name, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            if path.suffix:
                os.replace(scratch / path.name, path)
            else:
                _flush(scratch)
                os.rename(scratch, path)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                size = sum(map(len, files.values()))
                raise Full(
                    f"no room for {size:,} bytes in {self.folder}; nothing was changed: free some space"
                ) from error
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _hash(data: bytes) -> str:
    """The sha256 of the type, shape and bytes of the single tensor in a safetensors file."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])["tensor"]
    digest = sha256(f"{header['dtype']} {header['shape']} ".encode())
    digest.update(memoryview(data)[8 + size :])
    return digest.hexdigest()


def _hash_files(files: Mapping[str, bytes]) -> str:
    """The sha256 of a folder: each name, length and content in the order of the names."""
    digest = sha256()
    for name in sorted(files):
        digest.update(f"{len(name.encode())} {name} {len(files[name])} ".encode())
        digest.update(files[name])
    return digest.hexdigest()


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
