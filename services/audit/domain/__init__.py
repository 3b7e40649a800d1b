"""The rules of this service: what an entry is, and whose its members are."""
