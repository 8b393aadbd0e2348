"""Exams: what a subject recalls, recognises, retains, leaks; per-item results, intervals from them."""
