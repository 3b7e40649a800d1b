"""What operators of the product do from a command line: `python -m doorctl --help`."""
