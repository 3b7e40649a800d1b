"""Rules of how doors stand, what changed, and what a command must have shown. Standard library only."""
