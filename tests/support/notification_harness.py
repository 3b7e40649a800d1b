"""The notification service without its server and its broker: what happens is told it, and its phones show what they
are sent. Its clock is moved by the test.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.door.v1 import door_command_pb2, door_update_pb2

import services.notification
from protocol.subjects import kept_update_subject
from services.notification.adapters import store
from services.notification.adapters.texts import TextCatalogue
from services.notification.adapters.update_link import DoorUpdates
from services.notification.domain.devices import CheckedDevice
from services.notification.domain.messages import PushKind, PushOutcome, PushResult
from services.notification.usecases.addressing import NoticeAddressing
from services.notification.usecases.ports import NotKnownNowError, VehiclePerson
from services.notification.usecases.reminding import LeftReminders
from services.notification.usecases.sending import PushSending
from services.platform.consumer import Delivery
from services.platform.database import Database, open_database
from services.platform.times import set_time
from tests.support.clocks import FakeClock
from tests.support.databases import migrated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping

    from services.notification.domain.messages import PushDevice, PushMessage

VIN = "KMHSH81C7LU123456"
OWNER, SHARER, VALET = "user-123", "user-456", "user-789"
MIGRATIONS = Path(services.notification.__file__).with_name("migrations")
MOST_UNDER_WAY, MOST_PER_HOST = 32, 8
USUAL = timedelta(minutes=10)
_ACTIONS = door_command_pb2.CommandAction.Value
_STATUSES = door_command_pb2.CommandStatus.Value
_TYPES = door_update_pb2.DoorUpdateType


class FakePeople:
    """usecases.ports.People: what each is to each vehicle, and who gave which command."""

    def __init__(self) -> None:
        self.of: dict[str, dict[str, VehiclePerson]] = {}
        self.gave: dict[str, str] = {}
        self.away = False
        self.asked = 0
        self.asked_who_gave: list[set[str]] = []

    def let(self, principal: str, vin: str = VIN, *, owner: bool = False, reads: bool = True) -> None:
        self.of.setdefault(vin, {})[principal] = VehiclePerson(principal, owner, reads, owner)

    def end(self, principal: str, vin: str = VIN) -> None:
        del self.of[vin][principal]

    async def of_vehicle(
        self,
        vin: str,
        also: str = "",  # noqa: ARG002  # everybody is named here
    ) -> Mapping[str, VehiclePerson]:
        self.asked += 1
        if self.away:
            raise NotKnownNowError("access: UNAVAILABLE")
        return dict(self.of.get(vin, {}))

    async def who_gave(self, command_ids: Collection[str]) -> Mapping[str, str]:
        self.asked_who_gave.append(set(command_ids))
        if self.away:
            raise NotKnownNowError("command: UNAVAILABLE")
        return {each: self.gave[each] for each in command_ids if each in self.gave}


class FakePushService:
    """usecases.ports.PushSender: shows what each device was sent, and does as it is told for some tokens."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, PushMessage]] = []
        self.attempts: list[str] = []
        self.says: dict[str, PushResult | Exception] = {}
        self.hangs: set[str] = set()
        self.closed = False

    async def send(self, device: PushDevice, message: PushMessage) -> PushResult:
        self.attempts.append(device.token)
        if device.token in self.hangs:
            await asyncio.Event().wait()
        result = self.says.get(device.token, PushResult(PushOutcome.DELIVERED))
        if isinstance(result, Exception):
            raise result
        if result.outcome is PushOutcome.DELIVERED:
            self.shown.append((device.token, message))
        return result

    async def close(self) -> None:
        self.closed = True

    def titles(self, token: str) -> list[str]:
        return [message.title for shown_on, message in self.shown if shown_on == token]


@dataclass
class NotificationHarness:
    """All of it. `settle` does what there is to do."""

    database: Database
    clock: FakeClock = field(default_factory=FakeClock)
    people: FakePeople = field(default_factory=FakePeople)
    fcm: FakePushService = field(default_factory=FakePushService)
    apns: FakePushService = field(default_factory=FakePushService)
    web_push: FakePushService = field(default_factory=FakePushService)

    def __post_init__(self) -> None:
        self.devices = store.SqlDevices(self.database)
        self.notices = store.SqlNotices(self.database)
        self.updates = store.SqlUpdates(self.database, USUAL)
        self._numbers = 0
        self.restart()

    def restart(self) -> None:
        """Another process on the same database."""
        self.addressing = NoticeAddressing(self.notices, self.people, self.clock.now, lambda: None)
        self.sending = PushSending(
            self.notices,
            self.people,
            {PushKind.FCM: self.fcm, PushKind.APNS: self.apns, PushKind.WEB_PUSH: self.web_push},
            TextCatalogue.read(),
            self.clock.now,
            most=MOST_UNDER_WAY,
            per_host=MOST_PER_HOST,
        )
        self.reminding = LeftReminders(self.updates, self.people, USUAL, self.clock.now, lambda: None)
        self.handler = DoorUpdates(self.updates, self.clock.now, lambda: None)

    async def phone(self, person: str, token: str, kind: PushKind = PushKind.FCM, **more: Any) -> None:
        """Register a device of this name and token."""
        device = CheckedDevice(more.get("device_id", token), kind, token, b"", b"", "")
        await self.devices.register(person, device, 10, self.clock.now())

    async def phones(self, person: str, *tokens: str) -> None:
        """Register some, which have been told of each other."""
        for token in tokens:
            kind = PushKind.APNS if token.startswith("apple") else PushKind.FCM
            await self.phone(person, token, kind)
        await self.settle()
        for service in (self.fcm, self.apns):
            service.shown.clear()
            service.attempts.clear()

    def delivery(
        self, update: door_update_pb2.DoorUpdate, origin: str, message_id: str = "", vin: str = VIN
    ) -> Delivery:
        self._numbers += 1
        update.vin = update.vin or vin
        set_time(update.timestamp, self.clock.now())
        return Delivery(
            kept_update_subject(origin, vin),
            update.SerializeToString(),
            {"Nats-Msg-Id": message_id or f"message-{self._numbers}"},
            self.clock.microseconds() * 1_000 + self._numbers,
        )

    async def command(
        self, command_id: str, status: str, action: str = "UNLOCK", person: str = OWNER, **said: Any
    ) -> Delivery:
        """Tell of a command's status; return the message."""
        self.people.gave.setdefault(command_id, person)
        change = door_update_pb2.CommandStatusChange(
            command_id=command_id, action=_ACTIONS.Value(action), status=_STATUSES.Value(status), **said
        )
        update = door_update_pb2.DoorUpdate(type=_TYPES.COMMAND_STATUS_UPDATE, command_status=change)
        late = ":late" if said.get("late") else ""
        delivery = self.delivery(update, "command", f"{command_id}:{status}{late}")
        assert await self.handler.handle([delivery]) == []
        return delivery

    async def alert(self, code: str, origin: str, **said: Any) -> None:
        """Tell of an alert."""
        alert = door_update_pb2.SystemAlert(code=code, severity=door_update_pb2.AlertSeverity.WARNING, **said)
        update = door_update_pb2.DoorUpdate(type=_TYPES.SYSTEM_ALERT, system_alert=alert)
        assert await self.handler.handle([self.delivery(update, origin)]) == []

    async def door(self, door_id: str, vin: str = VIN, **said: Any) -> None:
        """Tell how a door stands now."""
        change = door_update_pb2.DoorStatusChange(door_id=door_id, **said)
        update = door_update_pb2.DoorUpdate(type=_TYPES.DOOR_STATUS_UPDATE, door_status=change)
        assert await self.handler.handle([self.delivery(update, "status", vin=vin)]) == []

    async def settle(self) -> None:
        """Remind, address and send until nothing is left to do now."""
        await self.reminding.look()
        while await self.addressing.step():
            pass
        await self.sending.step()
        await self.sending.finish()

    async def later(self, **time: float) -> None:
        """Let time go by, and do what there is to do then."""
        self.clock.advance(timedelta(**time).total_seconds())
        await self.settle()


@asynccontextmanager
async def notification_harness(url: str) -> AsyncIterator[NotificationHarness]:
    """Make one on an own database, with an owner, a sharer and a valet of VIN."""
    await asyncio.to_thread(migrated, url, MIGRATIONS, store.HEAD)
    database = await open_database(url)
    harness = NotificationHarness(database)
    harness.people.let(OWNER, owner=True)
    harness.people.let(SHARER)
    harness.people.let(VALET, reads=False)
    try:
        yield harness
    finally:
        await database.close()
