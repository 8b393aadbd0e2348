"""byheart: teach a language model, keep what it knew, make it forget, measure all three.

>>> import byheart
>>> sorted(byheart.__all__)[:3]
['Answer', 'ByheartError', 'Certificate']
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Memory": "byheart.memory",
    "Engram": "byheart.core.records",
    "Hit": "byheart.core.records",
    "Answer": "byheart.core.records",
    "Learned": "byheart.core.records",
    "Version": "byheart.core.records",
    "Certificate": "byheart.core.records",
    "ByheartError": "byheart.core.errors",
    "Strategy": "byheart.core.strategy",
    "Strategies": "byheart.train.compose",
    "with_strategies": "byheart.train.mixin",
}

__all__ = sorted(_HOMES)

if TYPE_CHECKING:
    from byheart.core.errors import ByheartError as ByheartError
    from byheart.core.records import Answer as Answer
    from byheart.core.records import Certificate as Certificate
    from byheart.core.records import Engram as Engram
    from byheart.core.records import Hit as Hit
    from byheart.core.records import Learned as Learned
    from byheart.core.records import Version as Version
    from byheart.core.strategy import Strategy as Strategy
    from byheart.memory import Memory as Memory
    from byheart.train.compose import Strategies as Strategies
    from byheart.train.mixin import with_strategies as with_strategies


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import byheart` loads no torch."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'byheart' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
