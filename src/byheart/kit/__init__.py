"""Shared numerics, pure functions of tensors: readout, divergence, Fisher, buffers, projection, sampling."""
