"""Rules of what a self-check says, and of which alerts follow. Standard library only."""
