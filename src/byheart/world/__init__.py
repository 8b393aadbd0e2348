"""Seeded, offline worlds: facts, documents and questions with known answers."""
