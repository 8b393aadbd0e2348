"""Updating: from what is new to operations on what is kept."""
