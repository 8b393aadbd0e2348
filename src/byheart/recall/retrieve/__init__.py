"""Retrieving: from a question to hits."""
