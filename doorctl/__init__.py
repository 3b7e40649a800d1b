"""What operators of the product do from a command line: `bin/doorctl --help`."""
