"""Strategies against forgetting while training: one file per method, composed by `byheart.train.compose`."""
