"""What this service reads from the broker: live updates of vehicles, and changes in who may do what with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ecarus.remotecontrol.access.v1 import grant_pb2
from ecarus.remotecontrol.door.v1 import door_update_pb2
from google.protobuf.message import DecodeError

from protocol.streams import DOOR_UPDATES, ROOM_EVENTS
from protocol.subjects import ACCESS_CHANGED_SUBJECT, KEPT_UPDATES, is_vin, origin_of_update, vin_of
from services.notification.adapters import translate
from services.notification.domain.doors import DoorsUnknown
from services.notification.domain.notices import event_id_of
from services.notification.domain.updates import COALESCED, alert_notice, command_notice
from services.platform.consumer import ConsumerPlan, PoisonMessage
from services.platform.subscriptions import Subscription
from services.platform.times import microseconds, moment, time_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from services.notification.domain.doors import DoorNews
    from services.notification.domain.notices import Notice
    from services.notification.usecases.ports import NoticeRecord, UpdateRecord
    from services.notification.usecases.webhook_ports import EventForWebhooks
    from services.platform.consumer import Delivery

UPDATES = ConsumerPlan(DOOR_UPDATES, "notification-updates", (KEPT_UPDATES,))
ACCESS_CHANGES = ConsumerPlan(ROOM_EVENTS, "notification-access", (ACCESS_CHANGED_SUBJECT,))
_MESSAGE_ID = "Nats-Msg-Id"
_CHANGES = grant_pb2.AccessChange


class DoorUpdates:
    """Handles what UPDATES delivers. `made` hears when there are new notices; `webhooks` makes of updates what webhooks
    are sent.
    """

    def __init__(
        self,
        record: UpdateRecord,
        now: Callable[[], datetime],
        made: Callable[[], None],
        webhooks: WebhookIntake | None = None,
    ) -> None:
        self._record = record
        self._now = now
        self._made = made
        self._webhooks = webhooks

    async def handle(self, deliveries: Sequence[Delivery]) -> list[PoisonMessage]:
        """Keep what people are to be told, and how doors stand, in one commit. Repeated it changes nothing."""
        now = self._now()
        notices: list[Notice] = []
        changes: list[DoorNews | DoorsUnknown] = []
        poison: list[PoisonMessage] = []
        for delivery in deliveries:
            try:
                update = door_update_pb2.DoorUpdate.FromString(delivery.data)
                self._sort(delivery, update, now, notices, changes)
            except (DecodeError, ValueError) as error:
                poison.append(PoisonMessage(delivery, f"no live update: {error}"))
        webhooks = self._webhooks
        events: Sequence[EventForWebhooks] = ()
        if webhooks is not None and (some := [each for each in deliveries if webhooks.concerns(each)]):
            broken = {id(each.delivery) for each in poison}
            events = await webhooks.events([each for each in some if id(each) not in broken], now)
        if (notices or changes or events) and await self._record.ingest(notices, changes, now, events):
            self._made()
        if webhooks is not None and events:
            webhooks.hurry()
        return poison

    def _sort(
        self,
        delivery: Delivery,
        update: door_update_pb2.DoorUpdate,
        now: datetime,
        notices: list[Notice],
        changes: list[DoorNews | DoorsUnknown],
    ) -> None:
        """Put it where it belongs. Raises ValueError for what is no update, or another vehicle's."""
        vin, origin = vin_of(delivery.subject), origin_of_update(delivery.subject)
        if update.vin != vin:
            raise ValueError("it is about another vehicle than its subject")
        arrived_us = delivery.arrived_at_us(microseconds(now))
        at, order = moment(arrived_us), delivery.stored_at_ns or arrived_us * 1_000
        event_id = event_key(delivery, origin)
        member, notice = update.WhichOneof("data"), None
        if member == "command_status" and origin == "command":
            notice = command_notice(translate.command_update(event_id, update, at))
        elif member == "system_alert":
            alert = translate.alert_update(event_id, origin, update, at)
            notice = alert_notice(alert)
            if origin == "status" and alert.code == COALESCED:
                changes.append(DoorsUnknown(vin, order))
        elif member == "door_status" and origin == "status":
            changes.append(translate.door_change(update, at, order))
        if notice is not None:
            notices.append(notice)


class WebhookIntake(Protocol):
    """Makes of updates what webhooks are sent."""

    def concerns(self, delivery: Delivery) -> bool:
        """Return whether some webhook may want to hear of it."""

    async def events(self, deliveries: Sequence[Delivery], at: datetime) -> list[EventForWebhooks]:
        """Return those of these that some do. Raises StorageUnavailableError."""

    def hurry(self) -> None:
        """Have them sent."""


class AccessChangeHandler:
    """Handles what ACCESS_CHANGES delivers: what was kept for somebody and a vehicle goes with their right on it.

    `changed` hears whose rights changed.
    """

    def __init__(
        self,
        record: NoticeRecord,
        now: Callable[[], datetime],
        changed: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._record = record
        self._now = now
        self._changed = changed

    async def handle(self, deliveries: Sequence[Delivery]) -> list[PoisonMessage]:
        """Let go of what is nobody's any more. Repeated, or late, it changes nothing."""
        now = self._now()
        poison: list[PoisonMessage] = []
        for delivery in deliveries:
            try:
                changed = _access_changed(delivery.data)
                at = min(time_of(changed.at), now) if changed.HasField("at") else now
            except (DecodeError, ValueError) as error:
                poison.append(PoisonMessage(delivery, f"no change of access: {error}"))
                continue
            if changed.change in {_CHANGES.ACCESS_CHANGE_TRANSFERRED, _CHANGES.ACCESS_CHANGE_SEVERED}:
                await self._record.access_ended(
                    changed.vin,
                    changed.principal,
                    at,
                    everybody_else=changed.change == _CHANGES.ACCESS_CHANGE_TRANSFERRED,
                )
            if self._changed is not None:
                await self._changed(changed.principal)
        return poison


def _access_changed(data: bytes) -> grant_pb2.AccessChanged:
    changed = grant_pb2.AccessChanged.FromString(data)
    if not (is_vin(changed.vin) and changed.principal):
        raise ValueError("of nobody, or no vehicle")
    return changed


def subscriptions(updates: DoorUpdates, access: AccessChangeHandler) -> list[Subscription]:
    """Return all that this service reads."""
    return [Subscription(UPDATES, updates.handle), Subscription(ACCESS_CHANGES, access.handle)]


def event_key(delivery: Delivery, origin: str) -> str:
    """Return the event's own id: its publisher's for the message, which stays the same when it is published again."""
    named = delivery.headers.get(_MESSAGE_ID, "")
    if named:
        return event_id_of(origin, named)
    return event_id_of(delivery.subject, str(delivery.stored_at_ns), delivery.data.hex())
