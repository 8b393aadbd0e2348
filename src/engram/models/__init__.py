"""Language models, embedders and cross-encoders: finding, loading, scoring, sampling."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "LanguageModel": "engram.models.lm",
    "load": "engram.models.lm",
    "load_embedder": "engram.models.embedder",
    "Endpoint": "engram.models.endpoint",
    "PairScorer": "engram.models.pairs",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Import on first use: embedders and endpoints need no causal LM, and the other way round."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'engram.models' has no attribute {name!r}")
