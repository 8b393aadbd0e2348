"""Dialogues: who says what in which session, and questions about it."""
