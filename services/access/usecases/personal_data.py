"""A person's rights about what is kept of them: to have it, and to have it erased."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Protocol

from services.access.domain.personal_data import (
    EXPORT_TIME,
    ErasureStage,
    PersonalDataUnknownError,
    PersonalExport,
    PersonErasure,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from services.access.usecases.grants import InvalidateCaches


class PersonalDataRecord(Protocol):
    """Where it is kept what people asked for. Every method may raise StorageUnavailableError."""

    async def export(self, new: PersonalExport) -> PersonalExport:
        """Keep it, unless one of this person's can still be fetched: then return that."""

    async def find_export(self, person: str, export_id: str) -> PersonalExport | None:
        """Return this person's export of this id."""

    async def count_download(self, person: str, export_id: str, *, at: datetime) -> bool:
        """Count one; whether it may be: not past its time, nor often enough."""

    async def ask_erasure(self, new: PersonErasure) -> PersonErasure:
        """Keep it, with its audit row, unless there is one of this person's that has not ended: then return that."""

    async def find_erasure(self, person: str, erasure_id: str) -> PersonErasure | None:
        """Return this person's erasure of this id, also where it is done."""

    async def take_back(self, person: str, erasure_id: str, *, at: datetime) -> PersonErasure | None:
        """Take it back, with its audit row; None where there is none. Raises ErasureBegunError."""

    async def due(self, *, at: datetime) -> list[PersonErasure]:
        """Return those whose time has come and that have not ended, oldest first."""

    async def defer(self, erasure: PersonErasure, why: str, *, at: datetime) -> None:
        """Keep why it waits."""

    async def look(self, person: str) -> str:
        """Return what of this service stands in the way; empty when nothing does."""

    async def begin(self, erasure: PersonErasure, *, at: datetime) -> bool:
        """Lock the account and end the person's rights and keys, with what that tells others; whether it was begun: not
        where it was taken back meanwhile, or somebody has locked or restricted the account.
        """

    async def unsent(self, person: str) -> str:
        """Return what stands in the way while messages that name them wait to leave; empty when none does."""

    async def finish(self, erasure: PersonErasure) -> str:
        """Erase what this service keeps, and their name in the erasure itself, once nothing is in the way: else return
        that.
        """


class OtherServices(Protocol):
    """The services beside this one that keep something about people."""

    @property
    def names(self) -> Sequence[str]:
        """What they are called."""

    async def look(self, name: str, person: str, erasure_id: str) -> str:
        """Return what stands in the way of erasing there; SERVICE_AWAY where it cannot be asked."""

    async def erase(self, name: str, person: str, erasure_id: str) -> str:
        """Erase there; what stands in the way, SERVICE_AWAY where it cannot be asked."""


class PersonalData:
    """What a person may ask for. `waiting` is how long they may take an erasure back."""

    def __init__(self, record: PersonalDataRecord, now: Callable[[], datetime], waiting: timedelta) -> None:
        self._record = record
        self._now = now
        self._waiting = waiting

    async def export(self, person: str) -> PersonalExport:
        """Ask for an export: the same one while one can be fetched."""
        at = self._now()
        return await self._record.export(PersonalExport(f"ex-{uuid.uuid4()}", person, at, at + EXPORT_TIME))

    async def found_export(self, person: str, export_id: str) -> PersonalExport:
        """Return theirs of this id. Raises PersonalDataUnknownError."""
        found = await self._record.find_export(person, export_id)
        if found is None:
            raise PersonalDataUnknownError
        return found

    async def fetch(self, person: str, export_id: str) -> None:
        """Count that the file is fetched. Raises PersonalDataUnknownError where it cannot be."""
        if not await self._record.count_download(person, export_id, at=self._now()):
            raise PersonalDataUnknownError

    async def erase(self, person: str) -> PersonErasure:
        """Ask to be erased: the same while one is under way."""
        at = self._now()
        return await self._record.ask_erasure(
            PersonErasure(f"er-{uuid.uuid4()}", person, at, at + self._waiting)
        )

    async def found_erasure(self, person: str, erasure_id: str) -> PersonErasure:
        """Return theirs of this id. Raises PersonalDataUnknownError."""
        found = await self._record.find_erasure(person, erasure_id)
        if found is None:
            raise PersonalDataUnknownError
        return found

    async def take_back(self, person: str, erasure_id: str) -> PersonErasure:
        """Take it back. Raises PersonalDataUnknownError, ErasureBegunError."""
        found = await self._record.take_back(person, erasure_id, at=self._now())
        if found is None:
            raise PersonalDataUnknownError
        return found


class Erasures:
    """Does what people asked for, once its time has come and nothing is in the way. Every replica may: each step can be
    done twice.
    """

    def __init__(
        self,
        record: PersonalDataRecord,
        services: OtherServices,
        invalidate: InvalidateCaches,
        now: Callable[[], datetime],
        done: Callable[[PersonErasure], None],
    ) -> None:
        self._record = record
        self._services = services
        self._invalidate = invalidate
        self._now = now
        self._done = done

    async def look(self) -> None:
        """Bring each as far as it goes now. Raises StorageUnavailableError; then the next call goes on."""
        for erasure in await self._record.due(at=self._now()):
            if erasure.stage is not ErasureStage.ERASING and not await self._begun(erasure):
                continue
            if stands := await self._finished(erasure):
                await self._record.defer(erasure, stands, at=self._now())
            else:
                self._invalidate(principal=erasure.person)
                self._done(erasure)

    async def _begun(self, erasure: PersonErasure) -> bool:
        """Begin it, unless something is in the way anywhere: then nothing is touched."""
        stands = await self._record.look(erasure.person)
        for name in self._services.names:
            stands = stands or await self._services.look(name, erasure.person, erasure.erasure_id)
        if stands:
            await self._record.defer(erasure, stands, at=self._now())
            return False
        try:
            return await self._record.begin(erasure, at=self._now())
        finally:
            self._invalidate(principal=erasure.person)

    async def _finished(self, erasure: PersonErasure) -> str:
        """Erase everywhere, this service last: it alone knows that there is something to do. What is in the way."""
        # What others must erase at the broker has left this service before they are asked.
        stands = await self._record.unsent(erasure.person)
        for name in self._services.names:
            stands = await self._services.erase(name, erasure.person, erasure.erasure_id) or stands
        return stands or await self._record.finish(erasure)
