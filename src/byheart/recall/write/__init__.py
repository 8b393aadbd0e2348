"""Writing: from a file or text to engrams, and to questions about them."""
