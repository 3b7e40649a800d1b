"""What connects the config service to the outside: gRPC and translation, store, NATS, the signer."""
