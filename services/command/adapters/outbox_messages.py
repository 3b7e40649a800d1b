"""Which messages tell the vehicle and the watchers of a change (ports.OutboxMessages)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol import subjects
from services.command.adapters import translate, vehicle_translate
from services.command.domain.commands import Status
from services.command.domain.own_cancellations import superseded_id, taken_back_id
from services.platform.outbox import OutgoingMessage

if TYPE_CHECKING:
    from datetime import datetime

    from google.protobuf.message import Message

    from services.command.domain.commands import Cancellation, Command, RequestedOrder
    from services.telematics.order_mac import OrderMac

TO_VEHICLES = "vehicle"
TO_WATCHERS = "updates"
_FINAL = tuple(f":{status.value}" for status in Status if status.final)


class CommandOutboxMessages:
    """Messages as they lie in the outbox. Those to vehicles are not signed yet: that is what makes them count. They
    are stamped, so that the signer can tell them from what somebody else wrote there.
    """

    def __init__(self, mac: OrderMac) -> None:
        self._mac = mac

    def accepted(self, command: Command) -> list[OutgoingMessage]:
        """Return the command to the vehicle, PENDING to the watchers."""
        subject = subjects.command_subject(command.vin, subjects.CommandKind.DOOR)
        order = vehicle_translate.requested_command(command, self._mac)
        return [
            _outgoing(command.command_id, TO_VEHICLES, subject, order, command.accepted_at),
            _to_watchers(command, command.status.value, command.accepted_at),
        ]

    def changed(self, command: Command) -> list[OutgoingMessage]:
        """Return the new status to the watchers."""
        at = command.ending.finished_at if command.ending else command.received_at or command.accepted_at
        return [_to_watchers(command, command.status.value, at)]

    def waking(self, command: Command) -> list[OutgoingMessage]:
        """PENDING again to the watchers, who are told why it takes long."""
        return [_to_watchers(command, "waking", command.waking_at or command.accepted_at)]

    def late(self, command: Command) -> list[OutgoingMessage]:
        """Return the late result to the watchers."""
        at = command.late_result.received_at if command.late_result else command.accepted_at
        return [_to_watchers(command, "late", at, late=True)]

    def cancel(self, cancellation: Cancellation) -> list[OutgoingMessage]:
        """Return the question to the vehicle."""
        order = vehicle_translate.requested_cancellation(cancellation, self._mac)
        subject = subjects.command_subject(cancellation.vin, subjects.CommandKind.CANCEL)
        return [_outgoing(cancellation.cancel_id, TO_VEHICLES, subject, order, cancellation.requested_at)]

    def take_back(self, command: RequestedOrder, at: datetime) -> list[OutgoingMessage]:
        """Return the cloud's own cancellation to the vehicle."""
        order = vehicle_translate.requested_taking_back(command, at, self._mac)
        subject = subjects.command_subject(command.vin, subjects.CommandKind.CANCEL)
        return [_outgoing(taken_back_id(command.command_id), TO_VEHICLES, subject, order, at)]

    def supersede(self, unlock: RequestedOrder, lock: Command) -> list[OutgoingMessage]:
        """Return the cloud's own cancellation to the vehicle."""
        order = vehicle_translate.requested_superseding(unlock, lock, self._mac)
        subject = subjects.command_subject(unlock.vin, subjects.CommandKind.CANCEL)
        return [_outgoing(superseded_id(unlock.command_id), TO_VEHICLES, subject, order, lock.accepted_at)]


def ended_command(message: OutgoingMessage) -> str | None:
    """Return the id of the command whose end this message tells; None where it tells of something else."""
    if message.queue != TO_WATCHERS or not message.message_id.endswith(_FINAL):
        return None
    return message.message_id.rpartition(":")[0]


def _to_watchers(command: Command, what: str, at: datetime, *, late: bool = False) -> OutgoingMessage:
    update = translate.update(command, late=late)
    subject = subjects.update_subject(command.vin)
    return _outgoing(f"{command.command_id}:{what}", TO_WATCHERS, subject, update, at)


def _outgoing(message_id: str, queue: str, subject: str, message: Message, at: datetime) -> OutgoingMessage:
    return OutgoingMessage(message_id, queue, subject, message.SerializeToString(), at)
