"""What can be wrong with a service's storage, for those who have to know it and need no database."""

from __future__ import annotations


class StorageUnavailableError(Exception):
    """The database is away or could not make the write durable; nothing of it was kept."""


class CommitUncertainError(StorageUnavailableError):
    """The database went away while it committed: the write may have been kept, or not."""
