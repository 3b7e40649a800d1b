"""Door settings and what the vehicle makes of them: the settings, then their versions."""
