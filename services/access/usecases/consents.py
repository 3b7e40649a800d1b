"""What a person says to the purposes for which something about them may be collected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from services.access.domain.consents import ConsentPurpose, PersonConsent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from services.access.domain.consents import ConsentText, GivenText
    from services.access.usecases.grants import InvalidateCaches


class ConsentRecord(Protocol):
    """Where consents are kept. Every method may raise StorageUnavailableError."""

    async def of(self, person: str) -> list[PersonConsent]:
        """Return what they have said, without the changes; nothing of purposes that they said nothing to."""

    async def with_changes(self, person: str, purpose: ConsentPurpose) -> PersonConsent:
        """Return what they have said to one purpose, with the newest changes first."""

    async def give(
        self, person: str, purpose: ConsentPurpose, shown: GivenText, source: str, *, at: datetime
    ) -> PersonConsent:
        """Keep that they agree, with its change and audit rows; nothing where they do already, to the same version."""

    async def withdraw(
        self, person: str, purpose: ConsentPurpose, source: str, *, at: datetime
    ) -> PersonConsent:
        """Keep that they do not agree any more, with its change and audit rows; nothing where they do not."""


class Consents:
    """What a person may ask for about their own consents. `asked` are the texts that are asked about now."""

    def __init__(
        self,
        record: ConsentRecord,
        invalidate: InvalidateCaches,
        now: Callable[[], datetime],
        asked: Mapping[ConsentPurpose, ConsentText],
    ) -> None:
        self._record = record
        self._invalidate = invalidate
        self._now = now
        self.asked = asked

    async def listed(self, person: str) -> list[PersonConsent]:
        """Return one for each purpose, in their order."""
        said = {each.purpose: each for each in await self._record.of(person)}
        return [said.get(purpose, PersonConsent(purpose)) for purpose in ConsentPurpose]

    async def found(self, person: str, purpose: ConsentPurpose) -> PersonConsent:
        """Return the one for this purpose, with what was said before."""
        return await self._record.with_changes(person, purpose)

    async def give(
        self, person: str, purpose: ConsentPurpose, shown: GivenText, source: str
    ) -> PersonConsent:
        """Give it. Raises ConsentTextChangedError."""
        shown.check(self.asked[purpose])
        try:
            return await self._record.give(person, purpose, shown, source, at=self._now())
        finally:
            self._invalidate(principal=person)

    async def withdraw(self, person: str, purpose: ConsentPurpose, source: str) -> PersonConsent:
        """Withdraw it."""
        try:
            return await self._record.withdraw(person, purpose, source, at=self._now())
        finally:
            self._invalidate(principal=person)
