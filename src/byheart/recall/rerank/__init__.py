"""Reranking: from hits to the order in which they are read."""
