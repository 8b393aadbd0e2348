"""Streams of tasks, to learn one after the other."""
