"""What a person says to the purposes for which something about them may be collected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from services.access.domain.consents import ConsentPurpose, PersonConsent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
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
    ) -> tuple[PersonConsent, bool]:
        """Keep that they agree, with its change and audit rows; nothing where they do already, to the same version.
        Return what they have said now, and whether that changed anything.
        """

    async def withdraw(
        self, person: str, purpose: ConsentPurpose, source: str, *, at: datetime
    ) -> tuple[PersonConsent, bool]:
        """Keep that they do not agree any more, with its change and audit rows; nothing where they do not.
        Return what they have said now, and whether that changed anything.
        """


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
        return await self._said(person, self._record.give(person, purpose, shown, source, at=self._now()))

    async def withdraw(self, person: str, purpose: ConsentPurpose, source: str) -> PersonConsent:
        """Withdraw it."""
        return await self._said(person, self._record.withdraw(person, purpose, source, at=self._now()))

    async def _said(self, person: str, saying: Awaitable[tuple[PersonConsent, bool]]) -> PersonConsent:
        """Return what they have said now. What is remembered of them is dropped only where that changed anything, or
        the answer got lost: nobody costs others anything by saying the same again and again.
        """
        changed = True
        try:
            said, changed = await saying
        finally:
            if changed:
                self._invalidate(principal=person)
        return said
