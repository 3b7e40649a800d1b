"""Webhooks without server and broker: what happens is told them, and URLs are called by a stand-in or for real."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.door.v1 import door_command_pb2, door_update_pb2
from sqlalchemy import select

from protocol.subjects import kept_update_subject
from services.live_updates.ids import UpdateIds
from services.notification.adapters import store
from services.notification.adapters.store.tables import webhook_deliveries
from services.notification.adapters.store.webhook_rows import webhook_host
from services.notification.adapters.update_link import AccessChangeHandler, DoorUpdates
from services.notification.adapters.webhooks.intake import WebhookUpdates
from services.notification.adapters.webhooks.messages import WebhookMessages
from services.notification.adapters.webhooks.secrets import SecretBox
from services.notification.domain.webhooks import (
    CallOutcome,
    CallResult,
    DisableRule,
    Registrant,
    UrlRefusedError,
    WebhookWish,
)
from services.notification.usecases.host_places import HostPlaces
from services.notification.usecases.ports import NotKnownNowError
from services.notification.usecases.webhook_interest import InterestIndex
from services.notification.usecases.webhook_operation import WebhookOperation
from services.notification.usecases.webhook_ports import ReadRight
from services.notification.usecases.webhook_sending import WebhookSending
from services.notification.usecases.webhooks import Webhooks
from services.platform.consumer import Delivery
from services.platform.database import open_database
from services.platform.times import set_time
from tests.support.clocks import FakeClock
from tests.support.databases import migrated
from tests.support.notification_harness import MIGRATIONS, OWNER, USUAL, VIN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from services.notification.domain.webhooks import Webhook, WebhookEvent
    from services.notification.usecases.webhook_ports import ReadQuestion, WebhookCall
    from services.platform.database import Database

URL = "https://partner.example/hook"
ME = Registrant(OWNER)
IDS = UpdateIds(b"k" * 32)
CREATED = 1_700_000_000_000_000
KEPT = timedelta(hours=26)
_TYPES = door_update_pb2.DoorUpdateType
_ACTIONS = door_command_pb2.CommandAction.Value
_STATUSES = door_command_pb2.CommandStatus.Value


class FakeReadingRights:
    """usecases.webhook_ports.ReadingRights: who may read what, since when, and as an owner."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.of: dict[tuple[Registrant, str], tuple[Any, bool]] = {}
        self.away = False
        self.asked = 0

    def let(self, registrant: Registrant = ME, vin: str = VIN, *, owner: bool = True) -> None:
        self.of[registrant, vin] = (self._clock.now(), owner)

    def end(self, registrant: Registrant = ME, vin: str = VIN) -> None:
        del self.of[registrant, vin]

    async def may_read(self, asked: ReadQuestion) -> bool:
        self.asked += 1
        if self.away:
            raise NotKnownNowError("access: UNAVAILABLE")
        since, owner = self.of.get((asked.registrant, asked.vin), (None, False))
        return since is not None and since <= asked.occurred_at and (owner or not asked.owners_only)

    async def rights_on(self, registrant: Registrant, vins: Collection[str]) -> dict[str, ReadRight]:
        if self.away:
            raise NotKnownNowError("access: UNAVAILABLE")
        return {vin: ReadRight(*self.of[registrant, vin]) for vin in vins if (registrant, vin) in self.of}

    async def vehicles_of(self, principal: str) -> list[str]:
        if self.away:
            raise NotKnownNowError("access: UNAVAILABLE")
        return sorted({vin for registrant, vin in self.of if registrant.principal == principal})


class FakeCaller:
    """usecases.webhook_ports.WebhookCaller: takes everything, unless it is told otherwise for a URL."""

    def __init__(self) -> None:
        self.calls: list[WebhookCall] = []
        self.says: dict[str, CallResult] = {}
        self.hangs: set[str] = set()
        self.refuses: set[str] = set()
        self.box = SecretBox(b"key" * 16)
        self._messages = WebhookMessages()

    async def check(self, url: str) -> None:
        if url in self.refuses:
            raise UrlRefusedError("leads to an address that is not public")

    async def call(self, call: WebhookCall, seconds: float | None = None) -> CallResult:  # noqa: ARG002  # the port's signature
        self.calls.append(call)
        if call.url in self.hangs:
            await asyncio.Event().wait()
        if (result := self.says.get(call.url)) is not None:
            return result
        data = json.loads(call.body)["data"]
        answer = json.dumps({"challenge": data.get("challenge")}) if "challenge" in data else ""
        return CallResult(CallOutcome.TAKEN, 200, body=answer.encode())

    def new_secret(self, webhook: str) -> tuple[str, bytes]:
        return self.box.new(webhook)

    def shown_secret(self, webhook: str, sealed: bytes) -> str:
        return self.box.shown(webhook, sealed)


class FakeStream:
    """intake.UpdateStream."""

    async def created(self, sequence: int) -> int:  # noqa: ARG002  # the port's signature
        return CREATED


@dataclass
class WebhookHarness:
    """All of it. `settle` does what there is to do."""

    database: Database
    clock: Any = field(default_factory=FakeClock)
    caller: Any = field(default_factory=FakeCaller)
    places: HostPlaces = field(default_factory=lambda: HostPlaces(16, 4))
    heartbeat: timedelta = timedelta(days=30)

    def __post_init__(self) -> None:
        self.rights = FakeReadingRights(self.clock)
        self.messages = WebhookMessages()
        self.record = store.SqlWebhooks(self.database, self.caller.new_secret, KEPT)
        self.announced: list[tuple[str, str]] = []
        """Which webhooks were disabled by what became of them, and why."""
        self.outbox = store.SqlWebhookOutbox(self.database, store.WebhookDisabling(self._told, KEPT))
        self.stopping = store.WebhookDisabling(self.messages.disabled, KEPT)
        self._numbers = 0
        self.restart()

    def restart(self) -> None:
        """Another process on the same database."""
        self.index = InterestIndex(store.SqlWebhookInterests(self.database), self.rights, self.clock.now)
        self.sending = WebhookSending(
            self.outbox,
            self.rights,
            self.caller,
            self.places,
            webhook_host,
            self.messages,
            self.clock.now,
            lambda: 0.5,
            rule=DisableRule(5, timedelta(hours=24)),
            heartbeat=self.heartbeat,
            most_waiting=1_000,
            changed=self.index.refresh,
        )
        self.api = Webhooks(
            self.record,
            self.caller,
            self.rights,
            self.clock.now,
            most=3,
            changed=self.index.refresh,
            hurry=lambda: None,
            messages=self.messages,
        )
        self.operation = WebhookOperation(
            store.SqlOperatedWebhooks(self.database, self.stopping),
            self.clock.now,
            changed=self.index.refresh,
            hurry=lambda: None,
        )
        intake = WebhookUpdates(self.index, FakeStream(), IDS, lambda: None)
        self.handler = DoorUpdates(
            store.SqlUpdates(self.database, USUAL, KEPT), self.clock.now, lambda: None, intake
        )
        self.access = AccessChangeHandler(
            store.SqlNotices(self.database), self.clock.now, self.index.access_changed
        )

    def _told(self, webhook: Webhook) -> WebhookEvent:
        assert webhook.disabled_reason is not None
        self.announced.append((webhook.name, webhook.disabled_reason.value))
        return self.messages.disabled(webhook)

    async def registered(
        self, name: str = "mine", url: str = URL, by: Registrant = ME, **wish: Any
    ) -> Webhook:
        """One that is ACTIVE."""
        await self.api.register(by, name, WebhookWish(url, **wish), f"register-{name}")
        await self.settle()
        await self.settle()  # its first heartbeat
        self.caller.calls.clear()
        webhook, _ = await self.api.found(by, name)
        return webhook

    def delivery(
        self, update: door_update_pb2.DoorUpdate, origin: str, vin: str = VIN, message_id: str = ""
    ) -> Delivery:
        self._numbers += 1
        update.vin = update.vin or vin
        set_time(update.timestamp, self.clock.now())
        return Delivery(
            kept_update_subject(origin, vin),
            update.SerializeToString(),
            {"Nats-Msg-Id": message_id or f"message-{self._numbers}"},
            self.clock.microseconds() * 1_000 + self._numbers,
            self._numbers,
        )

    async def tell(self, *deliveries: Delivery) -> None:
        assert await self.handler.handle(deliveries) == []

    def command(self, command_id: str, status: str, vin: str = VIN) -> Delivery:
        change = door_update_pb2.CommandStatusChange(
            command_id=command_id, action=_ACTIONS.Value("UNLOCK"), status=_STATUSES.Value(status)
        )
        update = door_update_pb2.DoorUpdate(type=_TYPES.COMMAND_STATUS_UPDATE, command_status=change)
        return self.delivery(update, "command", vin, f"{command_id}:{status}")

    def door(self, vin: str = VIN, door_id: str = "driver") -> Delivery:
        change = door_update_pb2.DoorStatusChange(door_id=door_id, locked=True)
        update = door_update_pb2.DoorUpdate(type=_TYPES.DOOR_STATUS_UPDATE, door_status=change)
        return self.delivery(update, "status", vin)

    def alert(self, code: str, origin: str, vin: str = VIN) -> Delivery:
        alert = door_update_pb2.SystemAlert(code=code, severity=door_update_pb2.AlertSeverity.WARNING)
        update = door_update_pb2.DoorUpdate(type=_TYPES.SYSTEM_ALERT, system_alert=alert)
        return self.delivery(update, origin, vin)

    async def settle(self) -> None:
        """Do what there is to do now."""
        for _ in range(200):
            await self.index.refresh()
            await self.sending.look()
            await self.sending.finish()  # a URL that answered its challenge is sent what waits
            more = await self.sending.step()
            await self.sending.finish()
            if not more:
                return
        raise AssertionError("there is always more to do")

    async def later(self, **time: float) -> None:
        self.clock.advance(timedelta(**time).total_seconds())
        await self.settle()

    async def statuses(self, name: str = "mine", by: Registrant = ME) -> list[str]:
        """Of all that is kept, whoever may read it, the newest first."""
        webhook, _ = await self.record.found(by, name)
        columns = webhook_deliveries.c
        kept = select(columns.status).where(columns.webhook == webhook.id).order_by(columns.position.desc())
        return await self.database.read(lambda c: list(c.execute(kept).scalars()))


@asynccontextmanager
async def webhook_harness(url: str, **changed: Any) -> AsyncIterator[WebhookHarness]:
    """Make one on an own database, with an owner of VIN."""
    await asyncio.to_thread(migrated, url, MIGRATIONS, store.HEAD)
    database = await open_database(url)
    harness = WebhookHarness(database, **changed)
    harness.rights.let()
    try:
        yield harness
    finally:
        await database.close()
