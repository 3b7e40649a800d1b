"""What connects the status service to the outside: gRPC and translation, store, NATS."""
