"""Reading: from hits to an answer."""
