"""The way out: what is put into the outbox, and how it leaves.

Commands leave late: the right to give one is asked for again just before it is packed, in one question
for all that wait, so that a right that ended in between moves no door.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING, Protocol

import structlog
from ecarus.remotecontrol.vehicle.v1 import command_pb2

from protocol import broker as layout
from protocol.envelope import pack
from services.command import translate, vehicle_translate
from services.runtime.database import StorageUnavailable
from services.runtime.outbox import OutgoingMessage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from google.protobuf.message import Message

    from services.command.domain import Cancellation, Command
    from services.runtime.jetstream import Broker
    from services.runtime.outbox import OutboxRelay

    Order = command_pb2.DoorCommand | command_pb2.CancelCommand

TO_VEHICLES = "vehicle"
TO_WATCHERS = "updates"
_MOST_REMEMBERED = 100_000
_log = structlog.get_logger()


class Announcements:
    """Which messages tell the vehicle and the watchers of a change (store.requests.Announce)."""

    def accepted(self, command: Command) -> list[OutgoingMessage]:
        """The command to the vehicle, PENDING to the watchers."""
        return [_to_vehicle(command), _to_watchers(command, command.status.value, command.accepted_at)]

    def changed(self, command: Command) -> list[OutgoingMessage]:
        """The new status to the watchers."""
        at = command.ending.finished_at if command.ending else command.received_at or command.accepted_at
        return [_to_watchers(command, command.status.value, at)]

    def late(self, command: Command) -> list[OutgoingMessage]:
        """The late result to the watchers."""
        at = command.late_result.received_at if command.late_result else command.accepted_at
        return [_to_watchers(command, "late", at, late=True)]

    def cancel(self, cancellation: Cancellation) -> list[OutgoingMessage]:
        """The question to the vehicle."""
        message = vehicle_translate.cancel_command(cancellation)
        subject = layout.command_subject(cancellation.vin, layout.Command.CANCEL)
        return [_outgoing(cancellation.cancel_id, TO_VEHICLES, subject, message, cancellation.requested_at)]


def _to_vehicle(command: Command) -> OutgoingMessage:
    """The command as it lies in the outbox: not yet packed, because packing is what makes it count."""
    subject = layout.command_subject(command.vin, layout.Command.DOOR)
    message = vehicle_translate.door_command(command)
    return _outgoing(command.command_id, TO_VEHICLES, subject, message, command.accepted_at)


def _to_watchers(command: Command, what: str, at: datetime, *, late: bool = False) -> OutgoingMessage:
    update = translate.update(command, late=late)
    subject = layout.update_subject(command.vin)
    return _outgoing(f"{command.command_id}:{what}", TO_WATCHERS, subject, update, at)


def _outgoing(message_id: str, queue: str, subject: str, message: Message, at: datetime) -> OutgoingMessage:
    return OutgoingMessage(message_id, queue, subject, message.SerializeToString(), at)


class Rights(Protocol):
    """The access service's answer."""

    async def allowed(self, questions: Sequence[tuple[str, str, str]]) -> list[bool] | None:
        """For each (subject, VIN, action) whether it is allowed now; None when nobody can tell."""


class Dispatcher:
    """The way to the vehicle (usecases.Dispatch), and the `send` of the outbox relay to vehicles.

    It knows which commands this process accepted and has not begun to publish: only those can be called
    surely unsent, and only those leave without a look at the record. Any other (found by the relay's scan,
    tried before, handed over again) is taken over first, so that no two processes can disagree on whether it
    was withdrawn. `end_unauthorised` ends commands; `take_over` says which are alive. `relay` is set by the wiring.
    """

    relay: OutboxRelay

    def __init__(
        self,
        broker: Broker,
        rights: Rights,
        end_unauthorised: Callable[[Sequence[str]], Awaitable[None]],
        take_over: Callable[[Sequence[str]], Awaitable[set[str]]],
        ttl_seconds: int,
        now: Callable[[], datetime],
    ) -> None:
        self._broker = broker
        self._rights = rights
        self._end_unauthorised = end_unauthorised
        self._take_over = take_over
        self._ttl_seconds = ttl_seconds
        self._now = now
        self._unsent: OrderedDict[str, None] = OrderedDict()

    def committed(self, messages: Sequence[OutgoingMessage]) -> None:
        """These are part of the record now; those for vehicles are to leave."""
        for message in messages:
            if message.queue == TO_VEHICLES:
                self._unsent[message.message_id] = None
        while len(self._unsent) > _MOST_REMEMBERED:
            self._unsent.popitem(last=False)
        self.relay.hand_over(messages)

    def withdraw(self, command_id: str) -> bool:
        """See usecases.Dispatch."""
        if command_id not in self._unsent or not self.relay.drop(command_id):
            return False
        del self._unsent[command_id]
        return True

    def restore(self, command: Command) -> None:
        """See usecases.Dispatch."""
        # Dated now: the relay takes the row of an older message for the whole truth, and that says "sent".
        self.relay.hand_over([replace(_to_vehicle(command), created_at=self._now())])

    def surely_unsent(self, command_id: str) -> bool:
        """See usecases.Dispatch."""
        return command_id in self._unsent

    def forget(self, command_id: str) -> None:
        """See usecases.Dispatch."""
        self._unsent.pop(command_id, None)

    async def send(self, messages: Sequence[OutgoingMessage]) -> list[bool]:
        """Hand these to the vehicles' queue; True for each that is dealt with for good.

        A command whose time is up is dealt with: the sweep ends it. So is one that has ended, and one whose
        right has ended. While nobody can tell whether there is a right, commands wait and cancellations leave.
        """
        if not self._broker.connected:
            return [False] * len(messages)
        orders = {m.message_id: _parse(m) for m in messages}
        try:
            leaving, waiting = await self._sorted(messages, orders)
        except StorageUnavailable as error:
            _log.warning("dispatch_waits_for_store", reason=str(error))
            return [False] * len(messages)
        now = self._now()  # asking took time; from here to the publishing nothing else of this process runs
        leaving = [m for m in leaving if _lives(orders[m.message_id], now)]
        for message in leaving:
            self.forget(message.message_id)
        packed = [self._packed(m, orders[m.message_id], now) for m in leaving]
        confirmed = await self._broker.publish_all(packed)
        waiting |= {m.message_id for m, done in zip(leaving, confirmed, strict=True) if not done}
        return [m.message_id not in waiting for m in messages]

    async def _sorted(
        self, messages: Sequence[OutgoingMessage], orders: dict[str, Order]
    ) -> tuple[list[OutgoingMessage], set[str]]:
        """Which may leave, and the ids of those that must wait for the access service."""
        now = self._now()
        live = [m for m in messages if _lives(orders[m.message_id], now)]
        commands = {m.message_id: m for m in live if m.subject.endswith(layout.Command.DOOR.value)}
        others = commands.keys() - self._unsent.keys()
        gone = others - await self._take_over(list(others)) if others else set()
        questions = {i: _question(m, orders[i]) for i, m in commands.items() if i not in gone}
        answers = await self._rights.allowed(list(questions.values())) if questions else []
        if answers is None:
            return [m for m in live if m.message_id not in commands], set(questions)
        refused = {i for i, allowed in zip(questions, answers, strict=True) if not allowed}
        # What may have left before is not called refused: its result or its timeout tells how it ended.
        never_left = [i for i in refused if i in self._unsent]
        if never_left:
            await self._end_unauthorised(never_left)
        return [m for m in live if m.message_id not in gone | refused], set()

    def _packed(self, message: OutgoingMessage, order: Order, now: datetime) -> OutgoingMessage:
        vin = layout.vin_of(message.subject)
        seconds = self._ttl_seconds
        if isinstance(order, command_pb2.DoorCommand):
            seconds = math.ceil((_expiry(order) - now).total_seconds())
        return replace(
            message, payload=pack(vin, message.message_id, order, now), ttl_seconds=max(1, seconds)
        )


def _parse(message: OutgoingMessage) -> Order:
    """The command or cancellation in an outbox row."""
    if message.subject.endswith(layout.Command.CANCEL.value):
        return command_pb2.CancelCommand.FromString(message.payload)
    return command_pb2.DoorCommand.FromString(message.payload)


def _expiry(command: command_pb2.DoorCommand) -> datetime:
    return command.expires_at.ToDatetime(tzinfo=UTC)


def _lives(order: Order, now: datetime) -> bool:
    """Whether its time is not up; a cancellation's never is, it moves no door."""
    return isinstance(order, command_pb2.CancelCommand) or _expiry(order) > now


def _question(message: OutgoingMessage, order: Order) -> tuple[str, str, str]:
    """Subject, VIN and action of a command."""
    assert isinstance(order, command_pb2.DoorCommand)  # noqa: S101  # the subject said so
    action = "door.unlock" if order.action == command_pb2.DOOR_ACTION_UNLOCK else "door.lock"
    return order.subject, layout.vin_of(message.subject), action
