"""What connects the ledger to the outside: gRPC and translation, store, people's keys."""
