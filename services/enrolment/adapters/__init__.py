"""What connects the enrolment service to the outside: gRPC and translation, store, certificates, the broker."""
