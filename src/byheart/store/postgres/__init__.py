"""Engrams in PostgreSQL with pgvector: a schema for each memory, many memories in a database."""
