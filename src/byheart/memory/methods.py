"""The methods that a memory is asked by name: one object each for its life, and what they learned kept in its store."""

from __future__ import annotations

import base64
import json
from hashlib import blake2b
from threading import RLock
from typing import Any

import numpy as np

from byheart.core import catalogue
from byheart.core.errors import BadInput
from byheart.store.base import AnyStore
from byheart.store.history import LEARNED


class Methods:
    """One object for each method and its settings, made when it is first named and used by every call that names it.

    So what a method worked out (MemGAS' vectors, the buckets of LSH) serves the next call, and one that must be taught
    can be: `get` it, teach it, `keep` it. `reflective-memory` is taught by `Memory.ask`, see `learn`.

    A method with `state_dict` and `load_state_dict` has something to keep. It goes into the memory's store, as float32;
    every process that has the memory open goes on from there, and so does whoever opens it next. What was learned while
    the memory was open for an owner is that owner's alone.

    Matrices learned from questions and from what was cited hold traces of both, though no text. So forgetting anything
    drops all that methods learned, in the transaction that erases it, and `get` gives an untaught object again.

    Parameters
    ----------
    store: the memory's. owner: whose use the methods learn from; None is everyone's.

    >>> import tempfile
    >>> from byheart import Memory
    >>> with tempfile.TemporaryDirectory() as home, Memory.open(home, model="tiny", embedder="hash") as memory:
    ...     memory.methods.get("lsh") is memory.methods.get("lsh"), memory.methods.get("lsh", probes=2).probes
    (True, 2)
    """

    def __init__(self, store: AnyStore, owner: str | None = None) -> None:
        self._store, self._owner = store, owner
        self._made: dict[str, tuple[Any, str | None]] = {}
        self._lock = RLock()  # taken inside the database's, never the other way round

    def get(self, name: str, **settings: Any) -> Any:
        """The object of this name and these settings, with what it learned; `Unknown` for a name that is none."""
        key = self._key(name, settings)
        with self._lock:
            if key not in self._made:
                self._made[key] = catalogue.make(name, **settings), None
            method, mark = self._made[key]
        if not hasattr(method, "load_state_dict"):
            return method
        latest = self._store.setting(LEARNED, {}).get(key)
        if latest == mark:
            return method
        state = self._store.setting(f"{LEARNED} {key}")
        with self._lock:
            if state is None:
                method, latest = catalogue.make(name, **settings), None
            else:
                method.load_state_dict(_unpacked(state))
            self._made[key] = method, latest
            return method

    def keep(self, name: str, **settings: Any) -> None:
        """Write down what a method has learned; `BadInput` for one that learns nothing (`byheart methods`)."""
        key = self._key(name, settings)
        with self._store.transaction(), self._lock:
            method = self._made[key][0] if key in self._made else self.get(name, **settings)
            if not hasattr(method, "state_dict"):
                raise BadInput(f"{name} has learned nothing that could be kept; give a method that has a state_dict")
            state = _packed(method.state_dict())
            mark = blake2b(json.dumps(state).encode(), digest_size=16).hexdigest()
            self._store.set_setting(f"{LEARNED} {key}", state)
            self._store.set_setting(LEARNED, {**self._store.setting(LEARNED, {}), key: mark})
            method.load_state_dict(_unpacked(state))
            self._made[key] = method, mark

    def learn(self, name: str, *experience: Any) -> None:
        """Have a method learn from use, going on from what any process learned, and keep it."""
        with self._store.transaction(), self._lock:
            self.get(name).learn(*experience)
            self.keep(name)

    def clear(self) -> None:
        """Let go of all objects, with what they hold of texts in memory; what is kept in the store stays."""
        with self._lock:
            self._made.clear()

    def _key(self, name: str, settings: dict[str, Any]) -> str:
        whose = {} if self._owner is None else {"owner": self._owner}
        return " ".join([name, *(json.dumps(part, sort_keys=True, default=repr) for part in (settings, whose) if part)])


def _packed(state: dict[str, Any]) -> dict[str, Any]:
    """A state as JSON: arrays as their shape and float32 in base64, numbers as they are."""
    return {name: value if isinstance(value, int | float | str) else _array(value) for name, value in state.items()}


def _array(value: Any) -> dict[str, Any]:
    array = np.ascontiguousarray(value, "<f4")
    return {"shape": array.shape, "float32": base64.b64encode(array.tobytes()).decode()}


def _unpacked(state: dict[str, Any]) -> dict[str, Any]:
    """What `_packed` was given, as near as float32 has it."""
    return {
        name: np.frombuffer(base64.b64decode(v["float32"]), "<f4").reshape(v["shape"]) if isinstance(v, dict) else v
        for name, v in state.items()
    }
