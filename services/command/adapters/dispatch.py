"""The way out: how orders leave for vehicles.

They leave late: an order gets its slot in the vehicle's session, is signed by the signer, which asks again
whether there is a right to it, is recorded as issued, sealed to the vehicle, and only then published.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Protocol

import structlog
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as signing
from google.protobuf.message import DecodeError

from protocol.order import domain_of
from protocol.seal import Direction, seal
from protocol.subjects import CommandKind, command_subject, is_vin
from services.command.adapters.outbox_messages import TO_VEHICLES
from services.platform.logs import masked_id
from services.platform.outbox import OutgoingMessage
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from datetime import datetime

    from ecarus.remotecontrol.vehicle.v1 import command_pb2

    from protocol.cloud_side import SessionSlot
    from protocol.domains import Domain
    from protocol.keys import VehicleKeys
    from services.platform.jetstream import Broker
    from services.platform.outbox import OutboxRelay

    VehicleCommand = command_pb2.DoorCommand | command_pb2.CancelCommand

_CANCELLATION_MILLIS = 60_000
_KINDS = {"door": CommandKind.DOOR, "cancel": CommandKind.CANCEL}
_MOST_REMEMBERED = 100_000
_log = structlog.get_logger()


class IssuedOrders(Protocol):
    """The record of what is issued to vehicles. Every method may raise StorageUnavailableError."""

    async def reserve_slots(self, wanted: Sequence[tuple[str, Domain, int]]) -> list[SessionSlot | None]:
        """For each (VIN, domain, milliseconds of validity) the next slot in the vehicle's session; None for a vehicle
        without one. Nothing is kept before `issue`.
        """

    async def issue(
        self, signed: Sequence[tuple[str, VehicleCommand, SessionSlot, bytes]]
    ) -> list[bytes | None]:
        """Keep that these envelopes are issued at these places, in one commit. For each the request hash; None when
        another process took its slot; empty when it must not leave, because a lock took its slot.
        """


class Keys(Protocol):
    """The vehicles' keys."""

    async def fetch(self, vins: Iterable[str]) -> None:
        """Have the answers for these. Raises StorageUnavailableError."""

    def find(self, vin: str) -> VehicleKeys | None:
        """Return what was fetched."""


class SigningPort(Protocol):
    """The signer."""

    async def sign(self, orders: Sequence[signing.OrderToSign]) -> list[signing.SigningAnswer] | None:
        """Return one answer for each, in order; None when nobody can sign now."""


class VehicleReachability(Protocol):
    """Knows and hears of vehicles that cannot be reached."""

    def is_asleep(self, vin: str) -> bool:
        """Return whether its last word was that it goes to sleep."""

    def wake_asleep(self, vin: str, command_id: str) -> None:
        """Wake a vehicle that is asleep, to which a command is on its way."""

    def request_session(self, vin: str, command_id: str) -> None:
        """Ask a vehicle for its session information: nothing can be signed for it before it says hello."""


@dataclass(slots=True)
class _Leaving:
    """One order on its way out."""

    message: OutgoingMessage
    requested: signing.RequestedOrder
    keys: VehicleKeys | None = None
    slot: SessionSlot | None = None
    envelope: bytes = b""
    request_hash: bytes | None = None

    @property
    def vin(self) -> str:
        return self.requested.vin

    @property
    def is_command(self) -> bool:
        return self.requested.HasField("door")

    @property
    def order(self) -> VehicleCommand:
        return self.requested.door if self.is_command else self.requested.cancel

    def lives(self, now: datetime) -> bool:
        """Return whether its time is not up; a cancellation's never is, it moves no door."""
        return not self.is_command or self._expires_at > now

    def valid_millis(self, now: datetime) -> int:
        if not self.is_command:
            return _CANCELLATION_MILLIS
        return max(1, math.floor((self._expires_at - now).total_seconds() * 1_000))

    @property
    def _expires_at(self) -> datetime:
        return self.requested.door.expires_at.ToDatetime(tzinfo=UTC)


class CommandDispatcher:
    """The way to the vehicle (ports.Dispatch), and the `send` of the outbox relay to vehicles.

    It knows which commands this process accepted and has not begun to publish: only those can be called
    surely unsent, and only those leave without a look at the record. Any other (found by the relay's scan,
    tried before, handed over again) is taken over first, so that no two processes can disagree on whether it
    was withdrawn. What is recalled stays parked until it is released. `end_unsigned` ends commands, and is told
    whether they were proven and lacked the right alone; `take_over` says which are alive. `relay` is set by the wiring.
    """

    relay: OutboxRelay

    def __init__(
        self,
        broker: Broker,
        keys: Keys,
        orders: IssuedOrders,
        order_signer: SigningPort,
        reachability: VehicleReachability,
        end_unsigned: Callable[[Sequence[str], bool], Awaitable[None]],
        take_over: Callable[[Sequence[str]], Awaitable[set[str]]],
        now: Callable[[], datetime],
    ) -> None:
        self._broker = broker
        self._keys = keys
        self._orders = orders
        self._order_signer = order_signer
        self._reachability = reachability
        self._end_unsigned = end_unsigned
        self._take_over = take_over
        self._now = now
        self._unsent: OrderedDict[str, None] = OrderedDict()
        self._recalled: OrderedDict[str, None] = OrderedDict()
        self._publishing = asyncio.Lock()

    def committed(self, messages: Sequence[OutgoingMessage]) -> None:
        """Hand over what is part of the record now; those for vehicles are to leave."""
        for message in messages:
            if message.queue == TO_VEHICLES:
                self._unsent[message.message_id] = None
        while len(self._unsent) > _MOST_REMEMBERED:
            self._unsent.popitem(last=False)
        self.relay.hand_over(messages)

    def hold_back(self, command_id: str) -> bool:
        """Hold a command back for good. False when it may have left this process, or is not held by it."""
        if command_id not in self._unsent or not self.relay.drop(command_id):
            return False
        del self._unsent[command_id]
        return True

    def restore(self, command_id: str) -> None:
        """Send a command that was held back after all, if it is alive then."""
        self.relay.restore(command_id)

    def send_again(self, messages: Sequence[OutgoingMessage]) -> None:
        """Send these once more, if they are alive then; the vehicle knows what it has had."""
        self.relay.hand_over(messages)

    def surely_unsent(self, command_id: str) -> bool:
        """Return whether this process accepted it and has not begun to publish it."""
        return command_id in self._unsent

    def untrack(self, command_id: str) -> None:
        """Stop tracking a command that has ended."""
        self._unsent.pop(command_id, None)
        self._recalled.pop(command_id, None)

    async def recall(self, command_ids: Sequence[str]) -> None:
        """From now on none of these leaves this process; what is just leaving has left when this returns."""
        self._recalled |= dict.fromkeys(command_ids)
        while len(self._recalled) > _MOST_REMEMBERED:
            self._recalled.popitem(last=False)
        async with self._publishing:
            return

    def release(self, command_ids: Iterable[str]) -> None:
        """Let what was recalled leave again."""
        for command_id in command_ids:
            self._recalled.pop(command_id, None)

    async def send(self, messages: Sequence[OutgoingMessage]) -> list[bool | None]:
        """Hand these to the vehicles' queue (outbox.Send).

        A command whose time is up is dealt with: the sweep ends it. So is one that has ended, and one that
        nobody proved to have asked for or has a right to. While nobody can sign, all wait. What cannot be signed
        before the vehicle says hello is parked.
        """
        if not self._broker.connected:
            return [False] * len(messages)
        try:
            fates = await self._sent([each for each in map(_leaving, messages) if each is not None])
        except StorageUnavailableError as error:
            _log.warning("dispatch_waits_for_store", reason=str(error))
            return [False] * len(messages)
        return [fates.get(message.message_id, True) for message in messages]

    async def _sent(self, leaving: Sequence[_Leaving]) -> dict[str, bool | None]:
        """Return the fate of each that is not dealt with, by message id."""
        alive = await self._alive([each for each in leaving if each.message.message_id not in self._recalled])
        slotted, fates = await self._with_slots(alive)
        fates |= {
            each.message.message_id: None for each in leaving if each.message.message_id in self._recalled
        }
        if not slotted:
            return fates
        signed = await self._signed(slotted)
        if signed is None:
            return fates | dict.fromkeys((each.message.message_id for each in slotted), False)
        if signed:
            issued = await self._orders.issue(
                [(s.vin, s.order, s.slot, s.envelope) for s in signed if s.slot]
            )
            for each, request_hash in zip(signed, issued, strict=True):
                each.request_hash = request_hash
                if request_hash is None:
                    fates[each.message.message_id] = False
        async with self._publishing:  # whoever recalls an order waits for its end
            now = (
                self._now()
            )  # signing took time; from here to the publishing nothing else of this process runs
            going = []
            for each in signed:
                if each.message.message_id in self._recalled:
                    fates[each.message.message_id] = None
                elif each.request_hash and each.lives(now):
                    going.append(each)
                    self._unsent.pop(each.message.message_id, None)
            confirmed = await self._broker.publish_all([self._packed(each, now) for each in going])
        return fates | {
            e.message.message_id: False for e, done in zip(going, confirmed, strict=True) if not done
        }

    async def _alive(self, leaving: Sequence[_Leaving]) -> list[_Leaving]:
        """Without those whose time is up, and those that have ended where another process may have dealt with them."""
        now = self._now()
        live = [each for each in leaving if each.lives(now)]
        others = {e.message.message_id for e in live if e.is_command} - self._unsent.keys()
        gone = others - await self._take_over(sorted(others)) if others else set()
        return [each for each in live if each.message.message_id not in gone]

    async def _with_slots(self, alive: Sequence[_Leaving]) -> tuple[list[_Leaving], dict[str, bool | None]]:
        """Return those with a place in their vehicle's session; the others are parked."""
        if not alive:
            return [], {}
        await self._keys.fetch({each.vin for each in alive})
        now = self._now()
        for each in alive:
            each.keys = self._keys.find(each.vin)
        known = [each for each in alive if each.keys is not None]
        wanted = [(each.vin, domain_of(each.order), each.valid_millis(now)) for each in known]
        for each, slot in zip(known, await self._orders.reserve_slots(wanted) if wanted else (), strict=True):
            each.slot = slot
            if not each.is_command:
                continue
            if slot is None:
                self._reachability.request_session(each.vin, each.message.message_id)
            elif self._reachability.is_asleep(each.vin):
                self._reachability.wake_asleep(each.vin, each.message.message_id)
        parked: dict[str, bool | None] = {e.message.message_id: None for e in alive if e.slot is None}
        return [each for each in known if each.slot is not None], parked

    async def _signed(self, slotted: Sequence[_Leaving]) -> list[_Leaving] | None:
        """Return those that were signed; None when nobody can sign now. What must not be signed is ended."""
        answers = await self._order_signer.sign([_to_sign(each) for each in slotted])
        if answers is None:
            return None
        refused: dict[str, bool] = {}
        for each, answer in zip(slotted, answers, strict=True):
            each.envelope = answer.envelope
            if answer.verdict not in {signing.SIGNING_VERDICT_SIGNED, signing.SIGNING_VERDICT_TOO_OLD}:
                proven = answer.verdict == signing.SIGNING_VERDICT_NOT_ALLOWED
                refused[each.message.message_id] = proven
                _log.warning(
                    "order_not_signed",
                    vin=masked_id(each.vin),
                    verdict=signing.SigningVerdict.Name(answer.verdict),
                )
        # What may have left before is not called refused: its result or its timeout tells how it ended.
        for proven in (True, False):
            never_left = [each for each, was in refused.items() if was is proven and each in self._unsent]
            if never_left:
                await self._end_unsigned(never_left, proven)
        return [each for each in slotted if each.envelope]

    def _packed(self, leaving: _Leaving, now: datetime) -> OutgoingMessage:
        if leaving.keys is None or not leaving.request_hash:
            raise LookupError("an order is packed after it was issued")
        message = leaving.message
        return OutgoingMessage(
            # Signed anew it is another message: under the old id the broker would know it, and drop it.
            f"{message.message_id}.{leaving.request_hash.hex()[:16]}",
            message.queue,
            message.subject,
            seal(leaving.envelope, leaving.keys.seal_key, Direction.TO_VEHICLE, leaving.vin),
            message.created_at,
            math.ceil(leaving.valid_millis(now) / 1_000),
        )


def _leaving(message: OutgoingMessage) -> _Leaving | None:
    """Return None for a row that this service did not write: it must not stop the others."""
    try:
        leaving = _Leaving(message, signing.RequestedOrder.FromString(message.payload))
        # A VIN that is none could not be asked keys for, and neither could those of its batch.
        if is_vin(leaving.vin) and message.subject == command_subject(
            leaving.vin, _KINDS[leaving.requested.WhichOneof("order") or ""]
        ):
            return leaving
    except (DecodeError, KeyError) as error:
        _log.error("outbox_row_unreadable", reason=type(error).__name__)
        return None
    _log.error("outbox_row_unreadable", reason="of another subject")
    return None


def _to_sign(leaving: _Leaving) -> signing.OrderToSign:
    if leaving.slot is None:
        raise LookupError("an order is signed at its place")
    return signing.OrderToSign(
        requested=leaving.requested,
        epoch=leaving.slot.epoch,
        counter=leaving.slot.counter,
        expires_at_millis=leaving.slot.expires_at_millis,
    )
