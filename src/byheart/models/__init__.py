"""Language models, embedders and cross-encoders: finding, loading, scoring, sampling."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "LanguageModel": "byheart.models.lm",
    "load": "byheart.models.lm",
    "load_embedder": "byheart.models.embedder",
    "Endpoint": "byheart.models.endpoint",
    "PairScorer": "byheart.models.pairs",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Import on first use: embedders and endpoints need no causal LM, and the other way round."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'byheart.models' has no attribute {name!r}")
