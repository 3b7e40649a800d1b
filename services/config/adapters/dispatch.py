"""The way out: settings lie in the outbox as somebody asked for them, and are signed as they leave.

So an order is never older than its signature: it is signed for the vehicle's present session, after the
signer has asked once more whether whoever asked for it still may.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as contract
from ecarus.remotecontrol.door.v1.room_event_pb2 import SettingsWithdrawn
from google.protobuf.message import DecodeError

from protocol.domains import LONGEST_VALIDITY_MILLIS, Domain
from protocol.order import request_hash
from protocol.seal import Direction, seal
from protocol.subjects import SETTINGS_WITHDRAWN_SUBJECT, CommandKind, command_subject, vin_of
from services.config.adapters import translate
from services.config.domain.config import NOT_PROVEN, RIGHT_ENDED
from services.config.usecases import SignedSettings, UnsignedSettings
from services.platform.logs import masked_id
from services.platform.outbox import OutgoingMessage
from services.platform.storage import StorageUnavailableError
from services.telematics.keys import KeysUnknownError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from protocol.cloud_side import SessionSlot
    from services.config.domain.config import Push
    from services.config.usecases import OrderRecord
    from services.platform.jetstream import Broker
    from services.telematics.keys import VehicleKeyDirectory
    from services.telematics.order_signer import OrderSigningClient

QUEUE = "vehicle"
TO_SERVICES = "rooms"
VALID_MILLIS = LONGEST_VALIDITY_MILLIS[Domain.CONFIG]
PUSH_TTL_SECONDS = VALID_MILLIS // 1000
"""A vehicle that is away longer says hello when it is back, and gets the newest settings then."""

_REASONS = {
    contract.SIGNING_VERDICT_NOT_ALLOWED: RIGHT_ENDED,
    contract.SIGNING_VERDICT_NOT_PROVEN: NOT_PROVEN,
    contract.SIGNING_VERDICT_TOO_OLD: NOT_PROVEN,
}
"""Why settings are given up. TOO_OLD: they were not asked for within the capability's time."""
_log = structlog.get_logger()


def outgoing(push: Push, at: datetime) -> OutgoingMessage:
    """Return the message that carries `push`, as it lies in the outbox: not yet signed."""
    return OutgoingMessage(
        message_id=push.message_id,
        queue=QUEUE,
        subject=command_subject(push.vin, CommandKind.CONFIG),
        payload=translate.requested_order(push).SerializeToString(),
        created_at=at,
        ttl_seconds=PUSH_TTL_SECONDS,
    )


def cancelled(push: Push, at: datetime) -> OutgoingMessage:
    """Return what has the settings taken out of the vehicle's queue."""
    return OutgoingMessage(
        message_id=f"withdrawn-{push.vin}-{push.version}",
        queue=TO_SERVICES,
        subject=SETTINGS_WITHDRAWN_SUBJECT,
        payload=SettingsWithdrawn(vin=push.vin, version=push.version).SerializeToString(),
        created_at=at,
    )


@dataclass(frozen=True, slots=True)
class _Waiting:
    message_id: str
    requested: contract.RequestedOrder


class ConfigDispatcher:
    """The `send` of the outbox relay to vehicles."""

    def __init__(
        self,
        broker: Broker,
        orders: OrderRecord,
        signer: OrderSigningClient,
        keys: VehicleKeyDirectory,
        now: Callable[[], datetime],
    ) -> None:
        self._broker = broker
        self._orders = orders
        self._signer = signer
        self._keys = keys
        self._now = now

    async def send(self, messages: Sequence[OutgoingMessage]) -> list[bool]:
        """Sign, record, seal and publish; True for each that is dealt with for good.

        Settings that are not wanted any more are dealt with. So are those for a vehicle that nothing can be signed
        or sealed for: its hello makes a fresh push. So are those that the signer refuses: the config says why.
        """
        try:
            waiting = await self._deliver(_newest(messages))
        except StorageUnavailableError as error:
            _log.warning("dispatch_waits", reason=str(error))
            return [False] * len(messages)
        return [message.message_id not in waiting for message in messages]

    async def _deliver(self, newest: Mapping[str, _Waiting]) -> set[str]:
        """Return the ids of those that must be tried again. Raises StorageUnavailableError when all must."""
        await self._keys.fetch(newest)
        versions = {vin: each.requested.config.version for vin, each in newest.items()}
        reserve_slots = await self._orders.reserve_slots(versions, VALID_MILLIS, self._now())
        ready = {vin: slot for vin, slot in reserve_slots.items() if self._keys.find(vin) is not None}
        answers = await self._signer.sign([_to_sign(newest[vin], slot) for vin, slot in ready.items()])
        if answers is None:
            return {newest[vin].message_id for vin in ready}
        signed: list[SignedSettings] = []
        unsigned: list[UnsignedSettings] = []
        for (vin, slot), answer in zip(ready.items(), answers, strict=True):
            order = newest[vin].requested.config
            if answer.verdict == contract.SIGNING_VERDICT_SIGNED:
                signed.append(SignedSettings(vin, order, slot, answer.envelope))
            elif answer.verdict in _REASONS:
                unsigned.append(UnsignedSettings(vin, order.version, _REASONS[answer.verdict]))
            else:
                _log.error("signing_verdict_unknown", verdict=answer.verdict)
        _log_unsigned(unsigned)
        issued = await self._orders.conclude(signed, unsigned, self._now())
        settled = {each.vin for each in unsigned} | await self._publish(newest, signed, issued)
        return {newest[vin].message_id for vin in ready if vin not in settled}

    async def _publish(
        self, newest: Mapping[str, _Waiting], signed: Iterable[SignedSettings], issued: set[str]
    ) -> set[str]:
        """Return the vehicles whose order is dealt with: the broker has it, or the vehicle's keys have just gone."""
        leaving: dict[str, OutgoingMessage] = {}
        keyless: set[str] = set()
        now = self._now()
        for each in signed:
            try:
                keys = self._keys.find(each.vin)
            except KeysUnknownError:  # they changed a moment ago: it is signed again, for the new ones
                continue
            if keys is None:
                keyless.add(each.vin)
            elif each.vin in issued:
                # Signed again, it is another order of the same settings: the broker must not take it for a repeat.
                message_id = f"{newest[each.vin].message_id}.{request_hash(each.envelope).hex()[:16]}"
                sealed = seal(each.envelope, keys.seal_key, Direction.TO_VEHICLE, each.vin)
                subject = command_subject(each.vin, CommandKind.CONFIG)
                leaving[each.vin] = OutgoingMessage(message_id, QUEUE, subject, sealed, now, PUSH_TTL_SECONDS)
        confirmed = await self._broker.publish_all(list(leaving.values()))
        return keyless | {vin for vin, done in zip(leaving, confirmed, strict=True) if done}


def _newest(messages: Sequence[OutgoingMessage]) -> dict[str, _Waiting]:
    """For each vehicle the last of its newest settings: they hold all that older ones do."""
    newest: dict[str, _Waiting] = {}
    for message in messages:
        requested = _parse(message)
        if requested is None:
            continue
        known = newest.get(requested.vin)
        if known is None or known.requested.config.version <= requested.config.version:
            newest[requested.vin] = _Waiting(message.message_id, requested)
    return newest


def _parse(message: OutgoingMessage) -> contract.RequestedOrder | None:
    """Return the settings in an outbox row; None for what this service never put there."""
    try:
        requested = contract.RequestedOrder.FromString(message.payload)
    except DecodeError:
        requested = contract.RequestedOrder()
    # The subject's VIN is checked too: with one that is none, the keys of the others could not be asked for.
    if requested.WhichOneof("order") != "config" or requested.vin != _vin(message.subject):
        _log.error("outbox_row_unreadable", message_id=message.message_id)
        return None
    return requested


def _vin(subject: str) -> str | None:
    try:
        return vin_of(subject)
    except ValueError:
        return None


def _to_sign(waiting: _Waiting, slot: SessionSlot) -> contract.OrderToSign:
    return contract.OrderToSign(
        requested=waiting.requested,
        epoch=slot.epoch,
        counter=slot.counter,
        expires_at_millis=slot.expires_at_millis,
    )


def _log_unsigned(unsigned: Iterable[UnsignedSettings]) -> None:
    for each in unsigned:
        _log.warning("settings_given_up", vin=masked_id(each.vin), version=each.version, reason=each.reason)
