"""Removing knowledge from weights: unlearners, one file per method."""
