"""Where engrams live: a folder with one SQLite database, and weights as content-addressed tensors."""
