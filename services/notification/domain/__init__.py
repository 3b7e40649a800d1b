"""The states and rules of notifications: standard library only."""
