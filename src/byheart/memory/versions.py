"""Weights of versions: what differs from the model as it came, written once, restored bit for bit."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byheart.core.errors import BadInput, Conflict, Full
from byheart.core.records import Version

if TYPE_CHECKING:
    import torch

    from byheart.models.lm import LanguageModel
    from byheart.store.weights import Weights


@contextmanager
def room(path: Path) -> Iterator[None]:
    """Tell a full disk from other failures of writing weights and checkpoints."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if full or "No space left" in str(error):
            raise Full(f"no room left on the disk of {path}; the old version stands, free some and go on") from error
        raise


def held(version: Version) -> Version:
    """This version; `Conflict` where `forget` erased its weights."""
    if version.erased:
        raise Conflict(f"version {version.id} was erased by forget; choose another (byheart log)")
    return version


class Weighing:
    """The live model of a memory and the version its weights are at.

    The tensors of the untaught model are kept only where a version replaced them, so that going back
    costs no second copy of the model.
    """

    def __init__(self, lm: LanguageModel, weights: Weights) -> None:
        self.lm = lm
        self.weights = weights
        self.current: dict[str, str] = {}
        self.original: dict[str, torch.Tensor] = {}

    def parameters(self) -> dict[str, torch.Tensor]:
        return dict(self.lm.model.named_parameters())

    def snapshot(self) -> dict[str, torch.Tensor]:
        """A copy of every parameter as it is now."""
        return {n: p.detach().clone() for n, p in self.parameters().items()}

    def restore(self, snapshot: dict[str, torch.Tensor]) -> None:
        """Put parameters back as a snapshot has them."""
        import torch

        with torch.no_grad():
            for name, p in self.parameters().items():
                p.copy_(snapshot[name])

    def interpolate(self, snapshot: dict[str, torch.Tensor], share: float) -> None:
        """Go back towards a snapshot, so that `share` of the way from it is left."""
        import torch

        from byheart.kit.interpolate import place

        if share != 1.0:
            moved = {n: p for n, p in self.parameters().items() if not torch.equal(p, snapshot[n])}
            place(moved, snapshot, moved, share)

    def apply(self, manifest: dict[str, str]) -> None:
        """Make the model that of this manifest, whatever it was at."""
        import torch

        parameters = self.parameters()
        wanted = {n: h for n, h in manifest.items() if self.current.get(n) != h}
        fresh = self.weights.get(wanted)
        with torch.no_grad():
            for name in self.current.keys() - manifest.keys():
                parameters[name].copy_(self.original[name])
            for name, tensor in fresh.items():
                if name not in self.original:
                    self.original[name] = parameters[name].detach().clone()
                parameters[name].copy_(tensor)
        self.current = dict(manifest)

    def write(self, before: dict[str, torch.Tensor]) -> dict[str, str]:
        """Store what training changed since `before`; gives the manifest of the model as it is now."""
        import torch

        changed = {n: p.detach() for n, p in self.parameters().items() if not torch.equal(p, before[n])}
        for name in changed:
            if name not in self.original:
                self.original[name] = before[name].clone()
        manifest = {**self.current, **self.weights.put(changed)}
        self.current = manifest
        return manifest


def pack_adapter(adapter: dict[str, Any]) -> dict[str, bytes]:
    """A PEFT adapter as the two files that `PeftModel.from_pretrained` reads."""
    from safetensors.torch import save

    tensors = {n: t.detach().cpu().contiguous() for n, t in adapter["tensors"].items()}
    return {
        "adapter_config.json": json.dumps(adapter["config"], default=sorted).encode(),
        "adapter_model.safetensors": save(tensors),
    }


def pack_state(state: dict[str, Any], work: Path) -> dict[str, bytes]:
    """A strategies' state as files; `work` is a scratch folder."""
    from byheart.kit import state as states

    folder = work / "state"
    states.save(state, folder)
    files = {p.name: p.read_bytes() for p in sorted(folder.iterdir())}
    shutil.rmtree(folder)
    return files


def export(weighing: Weighing, version: Version, path: Path, *, adapter: bool) -> None:
    """Write a version as an ordinary transformers checkpoint, or its adapter as PEFT reads it."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise BadInput(f"{path} exists and is not an empty folder; give a new path")
    if adapter:
        if version.adapter is None:
            raise Conflict(
                f"version {version.id} was not learned as an adapter; export it whole, or learn with strategy='lora'"
            )
        path.mkdir(parents=True, exist_ok=True)
        for name, data in weighing.weights.get_blob(version.adapter).items():
            (path / name).write_bytes(data)
        return
    before = dict(weighing.current)
    try:
        weighing.apply(version.weights)
        from transformers.utils import logging

        model: Any = weighing.lm.model
        logging.disable_progress_bar()
        model.save_pretrained(path)
        logging.enable_progress_bar()
        weighing.lm.tokenizer.save_pretrained(path)
    finally:
        weighing.apply(before)
