"""Reminding people of a vehicle that was left open or unlocked."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from services.notification.domain.notices import Notice, NoticeKind
from services.notification.domain.updates import reminder_notice
from services.notification.usecases.ports import NotKnownNowError
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from services.notification.usecases.ports import People, StandingCondition, UpdateRecord

AT_ONCE = 32
_LOOK_AGAIN = timedelta(minutes=1)
"""After so long it is looked again at a vehicle that stands at an ignored place: it may end."""
_log = structlog.get_logger()


class LeftReminders:
    """Looks whom to remind of what. `usual` is after how long those are reminded who did not say. What is due is in
    the database: it survives a restart, and is gone when the vehicle is closed or locked. `made` hears of reminders.
    """

    def __init__(
        self,
        record: UpdateRecord,
        people: People,
        usual: timedelta,
        now: Callable[[], datetime],
        made: Callable[[], None],
    ) -> None:
        self._record = record
        self._people = people
        self._usual = usual
        self._now = now
        self._made = made

    async def look(self) -> None:
        """Remind those whose time has come. Raises StorageUnavailableError."""
        for condition in await self._record.due_conditions(self._now(), AT_ONCE):
            try:
                await self._remind(condition)
            except NotKnownNowError as error:  # when its lease ends it is looked at again
                _log.info("reminder_postponed", reason=str(error))
            except StorageUnavailableError:
                raise
            except Exception:  # noqa: BLE001  # whatever it is, one vehicle must not stop the others
                _log.error("reminder_failed", condition=condition.condition.value, exc_info=True)

    async def _remind(self, condition: StandingCondition) -> None:
        there = await self._people.of_vehicle(condition.vin)
        readers = [name for name, person in there.items() if person.reads_status]
        wanted = await self._record.wanted(readers)
        now, kind = self._now(), NoticeKind(condition.condition.value)
        notices, later = list[Notice](), list[timedelta]()
        for person, preferences in wanted.items():
            if person in condition.told or not preferences.wants(kind):
                continue
            minutes = preferences.reminder_minutes
            due = condition.since + (self._usual if minutes is None else timedelta(minutes=minutes))
            if due > now:
                later.append(due - now)
            elif preferences.ignores(condition.vin, now):
                later.append(_LOOK_AGAIN)
            else:
                notices.append(
                    reminder_notice(
                        condition.vin,
                        condition.condition.value,
                        condition.doors,
                        condition.since,
                        person,
                        now,
                    )
                )
        next_look_at = now + min(later) if later else None
        await self._record.remind(condition, notices, next_look_at, now)
        if notices:
            self._made()
