"""The front door: one object that remembers, recalls, learns, examines, forgets and reverts."""

from engram.memory.front import Memory

__all__ = ["Memory"]
