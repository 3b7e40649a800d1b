"""The mesh: starts the whole product on one machine, keeps it running and stops it again.

`python -m mesh run` makes what the sandbox needs (keys, certificates, seeds) in one folder, starts
NATS, the services, Envoy and the simulated vehicles in order of need, and prints `ready` only when a
request would be answered. It is the sandbox's supervisor, not part of the product's data path.
"""
