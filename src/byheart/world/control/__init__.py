"""Tasks in which an agent acts and is rewarded."""
