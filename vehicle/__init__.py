"""The reference telematics unit (TCU) and the simulator that runs several cars in one process.

A car acts on a command at most once, never after the command's expiry by its own clock, and tells
the cloud door by door what became of it. It imports nothing of the cloud's services: only the
`protocol` package and the generated messages of `vehicle/v1`.
"""
