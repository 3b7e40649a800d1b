"""What callers are to vehicles, remembered for a moment.

It is kept per caller AND vehicle: a memory per vehicle would answer faster for a vehicle that its
owner is using than for one that does not exist, and so tell strangers which VINs there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from services.access.adapters.recent import ExpiringCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.access.domain.permissions import EffectivePermissions

MAX_AGE_SECONDS = 5.0
"""A right that another replica ended is unknown here for no longer than this, whatever gets lost."""
_MAX_PERMISSIONS = 100_000
_MAX_STRANGERS = 10_000
"""Of those that are nothing to the vehicle: whoever tries VINs pushes out nobody who has a right."""


class LoadPermissions(Protocol):
    """Where grants and accounts are kept."""

    async def __call__(self, subject: str, actor: str, vin: str, /) -> EffectivePermissions:
        """Return what they amount to now. Raises StorageUnavailableError."""


class PermissionCache:
    """Answers from memory when it can. Times are in seconds since 1970."""

    def __init__(self, load: LoadPermissions, now: Callable[[], float]) -> None:
        self._load = load
        self._now = now
        self._known: ExpiringCache[tuple[str, str, str], EffectivePermissions] = ExpiringCache(
            _MAX_PERMISSIONS
        )
        self._strangers: ExpiringCache[tuple[str, str, str], EffectivePermissions] = ExpiringCache(
            _MAX_STRANGERS
        )
        self._ended = 0

    async def of(self, subject: str, actor: str, vin: str) -> EffectivePermissions:
        """Return what `subject`, for whom `actor` acts, is to `vin`. Raises StorageUnavailableError."""
        key = (vin, subject, actor)
        now = self._now()
        permissions = self._known.get(key, now) or self._strangers.get(key, now)
        if permissions is None:
            ended = self._ended
            permissions = await self._load(subject, actor, vin)
            # What was read while a right ended may be from before; it serves this once and is not kept.
            if ended == self._ended:
                kept = self._known if permissions.actions else self._strangers
                kept.put(key, permissions, min(now + MAX_AGE_SECONDS, permissions.ends_at))
        return permissions

    def invalidate(self) -> None:
        """Ask the record anew for everything: some right began or ended.

        Rights change seldom and a question costs a fraction of a millisecond, so which entries it
        concerns, actors included, is not worth working out.
        """
        self._ended += 1
        self._known.clear()
        self._strangers.clear()
