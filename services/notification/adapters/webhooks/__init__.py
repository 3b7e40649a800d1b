"""Webhooks' side of the network: which URLs may be called, how messages are signed, and what they say."""
