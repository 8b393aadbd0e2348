"""Text memory: writing sources as engrams, searching them, answering from the hits."""
