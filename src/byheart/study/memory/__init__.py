"""Studies of the papers whose part is in `memory`."""
