"""Facts with known answers: people, things, documents and statements about them, and questions."""
