"""Text memory: turning sources into engrams, finding them again, answering from what was found."""
