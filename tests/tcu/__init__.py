"""A telematics unit written from docs/tcu.md and docs/vehicle-protocol.md alone: it imports nothing of the product but
the generated messages. It shows that the pages are enough. It is no product: five doors, no battery and no engine.
"""
