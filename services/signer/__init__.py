"""The signer: the only holder of the key that vehicles obey.

It promises to sign an order only when a capability proves that its subject asked for just this action on
just this vehicle, not too long ago, and when the access service says at this moment that the subject still may.
It keeps nothing: no database, no broker.
"""
