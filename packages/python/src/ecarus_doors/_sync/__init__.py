"""The client for asyncio."""
# Generated from _async by `make generate` (tools/sync_twin.py): change that one.
