"""One file per paper: its claim as an experiment, the thresholds stated before the run."""
