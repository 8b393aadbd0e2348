"""Benchmarks: what teaching, recalling and storing give and cost, in figures and tables."""
