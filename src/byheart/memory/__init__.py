"""The front door: one object that remembers, recalls, learns, examines, forgets and reverts."""

from byheart.memory.front import Memory

__all__ = ["Memory"]
