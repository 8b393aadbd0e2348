"""Updating: from new statements to operations on stored ones."""
