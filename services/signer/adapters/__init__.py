"""What connects the signer to the outside: gRPC and translation, the access service, what was signed moments ago."""
