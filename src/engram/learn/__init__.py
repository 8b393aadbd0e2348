"""Strategies against forgetting while training: one file per method, composed by `engram.train.compose`."""
