"""The car: its doors and locks, what they may do, and who moves them. It knows no message and no connection."""
