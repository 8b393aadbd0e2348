"""The front door: one object that remembers, recalls, learns, examines, forgets and reverts."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from byheart.memory.front import Memory as Memory

__all__ = ["Memory"]


def __getattr__(name: str) -> Any:
    """Import `Memory` on first use: the table of verbs, which the command line reads, needs no database."""
    if name == "Memory":
        from byheart.memory.front import Memory

        return Memory
    raise AttributeError(f"module 'byheart.memory' has no attribute {name!r}")
