"""What rows say of people: what they want, and how their devices are reached.

A row may be of a newer version than this one: a word that is not known here says nothing, and stops nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from services.notification.adapters.store.tables import places, preferences
from services.notification.domain.messages import PushDevice, PushKind
from services.notification.domain.notices import NoticeKind
from services.notification.domain.preferences import (
    LANGUAGES,
    IgnoredPlace,
    Preferences,
    QuietHours,
    is_time_zone,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection, Row

_NOTICE_KINDS = frozenset(each.value for each in NoticeKind)
_PUSH_KINDS = frozenset(each.value for each in PushKind)


def preferences_of(connection: Connection, people: Collection[str]) -> dict[str, Preferences]:
    """Return what each of these people wants, the default where they have said nothing."""
    where: dict[str, list[IgnoredPlace]] = {}
    query = select(places).where(places.c.person.in_(people)).order_by(places.c.person, places.c.position)
    for row in connection.execute(query):
        where.setdefault(row.person, []).append(IgnoredPlace(row.name, row.vin, row.until))
    found = {
        row.person: _preferences(row, tuple(where.get(row.person, ())))
        for row in connection.execute(select(preferences).where(preferences.c.person.in_(people)))
    }
    return {person: found.get(person) or Preferences() for person in people}


def push_device(row: Row[Any]) -> PushDevice | None:
    """Return a row of `devices` as senders know it; None of one that no sender here can reach."""
    if row.kind not in _PUSH_KINDS:
        return None
    return PushDevice(row.id, PushKind(row.kind), row.token, bytes(row.p256dh), bytes(row.auth), row.app)


def _preferences(row: Row[Any], ignored: tuple[IgnoredPlace, ...]) -> Preferences:
    quiet = None if row.quiet_begins is None else QuietHours(row.quiet_begins, row.quiet_until)
    off = frozenset(NoticeKind(each) for each in row.off.split() if each in _NOTICE_KINDS)
    return Preferences(
        off,
        row.language if row.language in LANGUAGES else LANGUAGES[0],
        row.time_zone if is_time_zone(row.time_zone) else "UTC",
        quiet,
        row.reminder_minutes,
        ignored,
    )
