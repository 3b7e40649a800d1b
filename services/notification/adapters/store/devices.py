"""Devices and preferences as they are kept."""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import delete, insert, select, update

from services.notification.adapters.store.notices import notice_row
from services.notification.adapters.store.people import preferences_of, push_device
from services.notification.adapters.store.tables import (
    devices,
    former_devices,
    insert_new,
    notices,
    places,
    preferences,
    pushes,
    shown,
)
from services.notification.domain.devices import RegisteredDevice, TooManyDevicesError
from services.notification.domain.messages import host_of
from services.notification.domain.notices import Audience, Notice, NoticeKind, collapse_of, event_id_of
from services.notification.domain.preferences import Preferences

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from services.notification.domain.devices import CheckedDevice
    from services.platform.database import Database


class _Told(NamedTuple):
    """Where a person is told of a change of their devices: a name of `devices` or `former_devices`."""

    id: str
    kind: str
    token: str


class SqlDevices:
    """usecases.ports.DeviceRecord on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, person: str, device: CheckedDevice, most: int, at: datetime) -> RegisteredDevice:
        """Keep it as this person's, and tell their devices of what changed; see the port."""
        return await self._database.write(lambda c: _register(c, person, device, most, at))

    async def listed(self, person: str) -> list[RegisteredDevice]:
        """Return a person's devices, the oldest first."""
        return await self._database.read(lambda c: _listed(c, person))

    async def delete(self, person: str, device_id: str, at: datetime) -> list[RegisteredDevice]:
        """Let go of it and of what waits for it, and tell it and those that are left, which are returned."""

        def work(connection: Connection) -> list[RegisteredDevice]:
            _lock(connection, person)
            query = select(devices).where(devices.c.person == person, devices.c.device_id == device_id)
            known = connection.execute(query).first()
            if known is not None:
                _forget(connection, [known.id])
                told = [_part(connection, known, at), *_others(connection, person, known.id)]
                _tell(connection, person, "DEVICE_REMOVED", told, at)
            return _listed(connection, person)

        return await self._database.write(work)

    async def preferences(self, person: str) -> Preferences:
        """Return what they want."""
        return await self._database.read(lambda c: preferences_of(c, [person])[person])

    async def set_preferences(self, person: str, wanted: Preferences, at: datetime) -> None:
        """Replace what they want."""

        def work(connection: Connection) -> None:
            _lock(connection, person)
            connection.execute(
                update(preferences).where(preferences.c.person == person).values(_row_of(wanted))
            )
            connection.execute(delete(places).where(places.c.person == person))
            rows = [
                {
                    "person": person,
                    "position": position,
                    "name": each.name,
                    "vin": each.vin,
                    "until": each.until,
                    "set_at": at,
                }
                for position, each in enumerate(wanted.places)
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
    parted = select(former_devices.c.id).where(former_devices.c.token_hash == digest)
    _forget(connection, connection.execute(parted).scalars().all())
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
        is_other = (known.token_hash, bytes(known.p256dh), bytes(known.auth)) != (
            digest,
            device.p256dh,
            device.auth,
        )
        if is_other:
            told = [_part(connection, known, at), *_others(connection, person, known.id)]
            _tell(connection, person, "DEVICE_CHANGED", told, at)
        connection.execute(update(devices).where(devices.c.id == known.id).values(row))
        if is_other:  # what waits may go to another push service
            host = host_of(device.kind, device.token)
            connection.execute(
                update(pushes).where(pushes.c.device == known.id).values(kind=device.kind.value, host=host)
            )
    else:
        others = _others(connection, person)
        if len(others) >= most:
            raise TooManyDevicesError(most)
        name = uuid.uuid4().hex
        connection.execute(
            insert(devices).values(
                id=name, person=person, device_id=device.device_id, registered_at=at, **row
            )
        )
        _tell(connection, person, "DEVICE_ADDED", others, at)
    registered = _registered(connection.execute(select(devices).where(mine)).one())
    assert registered is not None  # noqa: S101  # it was written just now
    return registered


def _others(connection: Connection, person: str, but: str = "") -> list[_Told]:
    """Return a person's devices `but` one."""
    query = select(devices.c.id, devices.c.kind, devices.c.token).where(
        devices.c.person == person, devices.c.id != but
    )
    return [_Told(*row) for row in connection.execute(query.order_by(devices.c.id))]


def _part(connection: Connection, known: Row[Any], at: datetime) -> _Told:
    """Keep what a device was reached by until it is told that it is not any more; return that."""
    name = uuid.uuid4().hex
    copied = ("person", "kind", "token", "token_hash", "p256dh", "auth", "app")
    row = {column: getattr(known, column) for column in copied}
    connection.execute(insert(former_devices).values(id=name, parted_at=at, **row))
    return _Told(name, known.kind, known.token)


def _tell(connection: Connection, person: str, text: str, told: Sequence[_Told], at: datetime) -> None:
    """Tell these of a change of a person's devices: whoever took over the account gets no notices in silence, and
    takes nobody's away in silence.
    """
    if not told:
        return
    event_id = event_id_of("device", uuid.uuid4().hex)
    notice = Notice(
        event_id,
        "",
        NoticeKind.SECURITY,
        text,
        Audience.PERSON,
        at,
        about=f"device/{event_id}",
        person=person,
        is_urgent=True,
    )
    connection.execute(insert(notices).values(**notice_row(notice, at), addressed_at=at))
    connection.execute(
        insert(pushes),
        [
            {
                "event_id": notice.event_id,
                "device": each.id,
                "person": person,
                "vin": "",
                "kind": each.kind,
                "host": host_of(each.kind, each.token),
                "collapse": collapse_of(each.id, "", notice.about),
                "expires_at": notice.expires_at,
                "due_at": at,
                "attempts": 0,
            }
            for each in told
        ],
    )


def _listed(connection: Connection, person: str) -> list[RegisteredDevice]:
    query = select(devices).where(devices.c.person == person).order_by(devices.c.registered_at, devices.c.id)
    listed = [_registered(row) for row in connection.execute(query)]
    return [each for each in listed if each is not None]


def _registered(row: Row[Any]) -> RegisteredDevice | None:
    device = push_device(row)
    if device is None:
        return None
    return RegisteredDevice(row.device_id, device, row.registered_at, row.confirmed_at)


def _forget(connection: Connection, ids: Collection[str]) -> None:
    if ids:
        for table in (pushes, shown):
            connection.execute(delete(table).where(table.c.device.in_(ids)))
        for table in (devices, former_devices):
            connection.execute(delete(table).where(table.c.id.in_(ids)))
