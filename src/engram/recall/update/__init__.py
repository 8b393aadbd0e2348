"""Updating: what a new memory does to those that are there."""
