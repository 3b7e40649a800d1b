"""What connects the command service to the outside: gRPC and translation, store, NATS, wake-ups."""
