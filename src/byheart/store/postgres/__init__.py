"""Engrams in PostgreSQL with pgvector: one schema for each memory, many memories in one database."""
