"""Records, protocols, errors and the catalogue: plain data that every other package may import."""
