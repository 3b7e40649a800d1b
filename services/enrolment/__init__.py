"""Which certificate is which car: the room that the broker asks before it lets a vehicle in.

It promises that a vehicle gets in only with the certificate enrolled for its VIN, may then say and hear
only what is that vehicle's, over MQTT only under its VIN as client id; and that revoking a vehicle cuts
its live connections.
"""
