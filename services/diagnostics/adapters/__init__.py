"""What connects the diagnostics service to the outside: gRPC and translation, store, NATS."""
