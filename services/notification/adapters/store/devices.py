"""Devices and preferences as they are kept."""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from services.notification.adapters.store.notices import notice_row
from services.notification.adapters.store.people import preferences_of, push_device
from services.notification.adapters.store.tables import (
    devices,
    insert_new,
    notices,
    places,
    preferences,
    pushes,
)
from services.notification.domain.devices import RegisteredDevice, TooManyDevicesError
from services.notification.domain.notices import Audience, Notice, NoticeKind, collapse_of, event_id_of
from services.notification.domain.preferences import Preferences

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from services.notification.domain.devices import CheckedDevice
    from services.platform.database import Database


class SqlDevices:
    """usecases.ports.DeviceRecord on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, person: str, device: CheckedDevice, most: int, at: datetime) -> RegisteredDevice:
        """Keep it as this person's, and tell their other devices when it is new; see the port."""
        return await self._database.write(lambda c: _register(c, person, device, most, at))

    async def listed(self, person: str) -> list[RegisteredDevice]:
        """Return a person's devices, the oldest first."""
        return await self._database.read(lambda c: _listed(c, person))

    async def delete(self, person: str, device_id: str) -> list[RegisteredDevice]:
        """Let go of it and of what waits for it; return those that are left."""

        def work(connection: Connection) -> list[RegisteredDevice]:
            query = select(devices.c.id).where(devices.c.person == person, devices.c.device_id == device_id)
            _forget(connection, connection.execute(query).scalars().all())
            return _listed(connection, person)

        return await self._database.write(work)

    async def preferences(self, person: str) -> Preferences:
        """Return what they want."""
        return await self._database.read(lambda c: preferences_of(c, [person])[person])

    async def set_preferences(self, person: str, wanted: Preferences) -> None:
        """Replace what they want."""

        def work(connection: Connection) -> None:
            _lock(connection, person)
            connection.execute(
                update(preferences).where(preferences.c.person == person).values(_row_of(wanted))
            )
            connection.execute(delete(places).where(places.c.person == person))
            rows = [
                {"person": person, "position": at, "name": each.name, "vin": each.vin, "until": each.until}
                for at, each in enumerate(wanted.places)
            ]
            if rows:
                connection.execute(insert(places), rows)

        await self._database.write(work)


def _row_of(wanted: Preferences) -> dict[str, Any]:
    quiet = wanted.quiet
    return {
        "off": " ".join(sorted(wanted.off)),
        "language": wanted.language,
        "time_zone": wanted.time_zone,
        "quiet_begins": quiet.begins if quiet else None,
        "quiet_until": quiet.until if quiet else None,
        "reminder_minutes": wanted.reminder_minutes,
    }


def _lock(connection: Connection, person: str) -> None:
    """Keep others from changing what is this person's meanwhile."""
    connection.execute(insert_new(connection, preferences).values(person=person, **_row_of(Preferences())))
    connection.execute(select(preferences.c.person).where(preferences.c.person == person).with_for_update())


def _register(
    connection: Connection, person: str, device: CheckedDevice, most: int, at: datetime
) -> RegisteredDevice:
    _lock(connection, person)
    digest = hashlib.sha256(f"{device.kind}\0{device.app}\0{device.token}".encode()).hexdigest()
    mine = (devices.c.person == person) & (devices.c.device_id == device.device_id)
    known = connection.execute(select(devices).where(mine)).first()
    # The same phone under another name, or with somebody else signed in before: it is this person's from now on.
    same = select(devices.c.id).where(devices.c.token_hash == digest)
    if known is not None:
        same = same.where(devices.c.id != known.id)
    _forget(connection, connection.execute(same).scalars().all())
    row = {
        "kind": device.kind.value,
        "token": device.token,
        "token_hash": digest,
        "p256dh": device.p256dh,
        "auth": device.auth,
        "app": device.app,
        "confirmed_at": at,
    }
    if known is not None:
        connection.execute(update(devices).where(devices.c.id == known.id).values(row))
        if known.kind != device.kind.value:  # what waits goes to another push service
            connection.execute(
                update(pushes).where(pushes.c.device == known.id).values(kind=device.kind.value)
            )
    else:
        others = connection.execute(
            select(devices.c.id, devices.c.kind).where(devices.c.person == person)
        ).all()
        if len(others) >= most:
            raise TooManyDevicesError(most)
        name = uuid.uuid4().hex
        connection.execute(
            insert(devices).values(
                id=name, person=person, device_id=device.device_id, registered_at=at, **row
            )
        )
        _tell_others(connection, person, name, others, at)
    return _registered(connection.execute(select(devices).where(mine)).one())


def _tell_others(connection: Connection, person: str, new: str, others: Sequence[Any], at: datetime) -> None:
    """Tell a person's other devices of a new one: whoever took over the account gets no notices in silence."""
    if not others:
        return
    notice = Notice(
        event_id_of("device", new),
        "",
        NoticeKind.SECURITY,
        "DEVICE_ADDED",
        Audience.PERSON,
        at,
        about=f"device/{new}",
        person=person,
        is_urgent=True,
    )
    connection.execute(insert(notices).values(**notice_row(notice, at), addressed_at=at))
    connection.execute(
        insert(pushes),
        [
            {
                "event_id": notice.event_id,
                "device": other.id,
                "person": person,
                "vin": "",
                "kind": other.kind,
                "collapse": collapse_of(other.id, "", notice.about),
                "expires_at": notice.expires_at,
                "due_at": at,
                "attempts": 0,
            }
            for other in others
        ],
    )


def _listed(connection: Connection, person: str) -> list[RegisteredDevice]:
    query = select(devices).where(devices.c.person == person).order_by(devices.c.registered_at, devices.c.id)
    return [_registered(row) for row in connection.execute(query)]


def _registered(row: Row[Any]) -> RegisteredDevice:
    return RegisteredDevice(row.device_id, push_device(row), row.registered_at, row.confirmed_at)


def _forget(connection: Connection, ids: Collection[str]) -> None:
    if ids:
        connection.execute(delete(pushes).where(pushes.c.device.in_(ids)))
        connection.execute(delete(devices).where(devices.c.id.in_(ids)))
