"""What connects access to the outside: gRPC, REST and tokens, store, key files, caches, revocations."""
