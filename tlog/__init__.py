"""The rules of the audit log: what a leaf holds, and how anybody verifies the tree without asking us. Pure; no I/O."""
