"""Looking for keys again, so that they are rotated and withdrawn without a restart."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import structlog

from services.access.adapters.capability_issuer import SigningKeyError
from services.platform.storage import CommitUncertainError, StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from services.access.adapters.capability_issuer import CapabilityIssuer, SigningKey
    from services.access.adapters.issuer_keys import KeySource

_log = structlog.get_logger()


class IssuerKeyRecord(Protocol):
    """Where it is kept which keys of the issuer were trusted."""

    async def note_issuer_keys(self, trusted: Iterable[str], *, at: datetime) -> None:
        """Keep it, and tell the other services of those that are not trusted any more. Raises
        StorageUnavailableError.
        """


class KeyWatch:
    """Looks at the issuer's keys and at the key that signs capabilities every `seconds`."""

    def __init__(
        self,
        keys: KeySource,
        issuer: CapabilityIssuer,
        read_signing_key: Callable[[], SigningKey],
        record: IssuerKeyRecord,
        now: Callable[[], datetime],
        seconds: float,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._read_signing_key = read_signing_key
        self._record = record
        self._now = now
        self._seconds = seconds
        self._noted: frozenset[str] | None = None
        self._withdrawn = asyncio.Event()

    def hurry(self) -> None:
        """Note that a key was withdrawn, without waiting for the next look."""
        self._withdrawn.set()

    async def run(self) -> None:
        """Look until cancelled; first at once, because keys may have been withdrawn while no process ran."""
        while True:
            await self.look()
            try:
                async with asyncio.timeout(self._seconds):
                    await self._withdrawn.wait()
            except TimeoutError:
                pass  # nothing was withdrawn in between; it is time to look again

    async def look(self) -> None:
        """Look once. What cannot be read or kept is tried again the next time."""
        await self._keys.refresh()
        self._withdrawn.clear()
        try:
            self._issuer.use(self._read_signing_key())
        except (OSError, ValueError, SigningKeyError) as error:
            # Caught in the middle of a change, or a mistake: the key known so far signs on.
            _log.error("signing_key_not_read", reason=str(error))
        trusted = self._keys.ring.credentials
        # Keys of which nothing is known at the moment are not withdrawn.
        if self._keys.ring.is_known and trusted != self._noted:
            try:
                await self._record.note_issuer_keys(trusted, at=self._now())
            except (StorageUnavailableError, CommitUncertainError) as error:
                _log.error("token_keys_not_noted", reason=str(error))
            else:
                self._noted = trusted
