"""The package's version: the contract's. Generated; make generate writes it from proto/VERSION."""

VERSION = "1.0.0"
