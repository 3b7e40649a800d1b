"""What operators and services can ask of grants, accounts and keys."""
