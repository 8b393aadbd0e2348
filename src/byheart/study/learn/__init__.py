"""Studies of the papers whose part is in `learn`."""
