"""Whom a notice is for: asked when it is told, and again when it is sent."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from services.notification.domain.notices import Audience
from services.notification.usecases.ports import NotKnownNowError
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from services.notification.domain.notices import Notice
    from services.notification.usecases.ports import NoticeRecord, People, VehiclePerson, WaitingNotice

AT_ONCE = 32
MOST_FAILURES = 8
"""A notice that cannot be addressed for a reason of its own is tried so often, and then set aside."""
_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(seconds=60)
_log = structlog.get_logger()


def is_told(notice: Notice, person: VehiclePerson) -> bool:
    """Return whether somebody with this right on the vehicle is told of it."""
    match notice.audience:
        case Audience.OWNERS:
            return person.is_owner
        case Audience.READERS:
            return person.reads_status
        case Audience.DIAGNOSTICS_READERS:
            return person.reads_diagnostics
        case Audience.REQUESTER:
            return True
        case Audience.PERSON:
            return person.principal == notice.person and person.reads_status


async def people_told(people: People, notice: Notice, requesters: Awaitable[Mapping[str, str]]) -> list[str]:
    """Return whom the notice is for at this moment; `requesters` are who gave commands, as far as they can be reached.
    Raises NotKnownNowError.
    """
    if not notice.vin:
        return [notice.person]
    if notice.audience is Audience.REQUESTER:
        person = (await requesters).get(notice.command_id)
        if person is None:
            return []
        return [person] if person in await people.of_vehicle(notice.vin, person) else []
    there = await people.of_vehicle(notice.vin, notice.person)
    return [principal for principal, person in there.items() if is_told(notice, person)]


async def may_still_be_told(people: People, notice: Notice, person: str) -> bool:
    """Return whether this person, for whom it was, may still be told of it. Raises NotKnownNowError."""
    if not notice.vin:
        return True
    now = (await people.of_vehicle(notice.vin, person)).get(person)
    return now is not None and is_told(notice, now)


class NoticeAddressing:
    """Turns notices into pushes, one for each device of those whom they are for. `made` hears when there are some."""

    def __init__(
        self, record: NoticeRecord, people: People, now: Callable[[], datetime], made: Callable[[], None]
    ) -> None:
        self._record = record
        self._people = people
        self._now = now
        self._made = made

    async def step(self) -> bool:
        """Address some; return whether there may be more. Raises StorageUnavailableError."""
        waiting = await self._record.waiting(self._now(), AT_ONCE)
        # Side by side: where one of the services that are asked hangs, what needs the other goes on.
        requesters = asyncio.ensure_future(self._requesters(waiting))
        addressed = (self._address(each, requesters) for each in waiting)
        done = await asyncio.gather(*addressed, return_exceptions=True)
        await asyncio.gather(requesters, return_exceptions=True)  # where nobody needed it any more
        for each in done:
            if isinstance(each, BaseException):
                raise each
        return len(waiting) == AT_ONCE

    async def _requesters(self, waiting: Sequence[WaitingNotice]) -> Mapping[str, str]:
        """Return who gave the commands that ended, by command id: asked once for all, and of whom no device is known
        nobody else is asked. Raises NotKnownNowError, StorageUnavailableError.
        """
        notices = [each.notice for each in waiting if each.notice is not None]
        commands = {each.command_id for each in notices if each.audience is Audience.REQUESTER}
        if not commands:
            return {}
        gave = await self._people.who_gave(commands)
        there = await self._record.with_devices(set(gave.values()))
        return {command: person for command, person in gave.items() if person in there}

    async def _address(self, waiting: WaitingNotice, requesters: Awaitable[Mapping[str, str]]) -> None:
        notice = waiting.notice
        if notice is None:
            _log.error("notice_unreadable", notice=waiting.event_id)
            await self._record.set_aside(waiting.event_id, self._now(), "its row says nothing")
            return
        if notice.expires_at <= self._now():
            await self._record.set_aside(waiting.event_id, self._now(), "no news any more")
            return
        try:
            told = await people_told(self._people, notice, requesters)
            if await self._record.address(notice, told, self._now()):
                self._made()
        except NotKnownNowError as error:
            await self._postpone(waiting, str(error))
        except StorageUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, one notice must not stop the others
            _log.error("notice_failed", notice=waiting.event_id, exc_info=True)
            reason = f"{type(error).__name__}: {error}"
            if waiting.attempts >= MOST_FAILURES:
                await self._record.set_aside(waiting.event_id, self._now(), reason)
            else:
                await self._postpone(waiting, reason)

    async def _postpone(self, waiting: WaitingNotice, reason: str) -> None:
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(waiting.attempts - 1, 10))
        _log.info("notice_postponed", notice=waiting.event_id, reason=reason)
        await self._record.postpone(waiting.event_id, self._now() + pause)
