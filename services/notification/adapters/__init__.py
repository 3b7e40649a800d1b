"""What connects the notification service to the outside: gRPC and translation, store, NATS, push services."""
