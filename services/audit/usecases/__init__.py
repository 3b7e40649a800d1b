"""What this service does: taking entries in, signing the tree, having witnesses cosign it, showing entries."""
