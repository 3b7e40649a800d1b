"""What this service does: one module per group of intentions, and the ports they need."""
