"""engram: teach a language model, keep what it knew, make it forget, measure all three.

>>> import engram
>>> sorted(engram.__all__)[:3]
['Answer', 'Certificate', 'Engram']
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Memory": "engram.memory",
    "Engram": "engram.core.records",
    "Hit": "engram.core.records",
    "Answer": "engram.core.records",
    "Learned": "engram.core.records",
    "Version": "engram.core.records",
    "Certificate": "engram.core.records",
    "EngramError": "engram.core.errors",
    "Strategy": "engram.core.strategy",
    "Strategies": "engram.train.compose",
    "with_strategies": "engram.train.mixin",
}

__all__ = sorted(_HOMES)

if TYPE_CHECKING:
    from engram.core.errors import EngramError as EngramError
    from engram.core.records import Answer as Answer
    from engram.core.records import Certificate as Certificate
    from engram.core.records import Engram as Engram
    from engram.core.records import Hit as Hit
    from engram.core.records import Learned as Learned
    from engram.core.records import Version as Version
    from engram.core.strategy import Strategy as Strategy
    from engram.memory import Memory as Memory
    from engram.train.compose import Strategies as Strategies
    from engram.train.mixin import with_strategies as with_strategies


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import engram` loads no torch."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'engram' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
