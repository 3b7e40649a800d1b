"""Who is which car: the service that the broker asks before it lets a vehicle in, and services before they accept one.

It promises that a vehicle gets in only with the certificate enrolled for its VIN, may then say and hear
only what is that vehicle's, over MQTT only under its VIN as client id; that only the public keys enrolled
for a VIN are told as that vehicle's; and that revoking a vehicle cuts its live connections and has every
service forget its keys.
"""
