"""The dispatcher, its ports as fakes, and a clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as signing
from ecarus.remotecontrol.vehicle.v1 import session_pb2

from protocol.cloud_side import SessionSlot
from protocol.keys import VehicleKeys
from protocol.order import request_hash
from services.command.adapters.dispatch import CommandDispatcher
from services.command.adapters.outbox_messages import CommandOutboxMessages
from services.command.domain.commands import (
    Cancellation,
    CancelRequest,
    Command,
    CommandAction,
    DoorAction,
    Mode,
    Requester,
)
from services.platform.storage import StorageUnavailableError
from services.signer.adapters.translate import Ed25519OrderSigner
from tests.support.command_store_harness import MAC
from tests.support.protocol_harness import CLOUD_SIGNER, exchange_key, public, signer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from protocol.domains import Domain
    from services.platform.outbox import OutgoingMessage


VIN = "KMHSH81C7LU123456"


START = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)


OWNER = Requester("user-123", "user-123", "MOBILE_APP", proof="capability")


SEAL_KEY = exchange_key("car seal")


KEYS = VehicleKeys.of(signer("car").public_bytes, public(SEAL_KEY))


EPOCH = bytes(range(16))


@dataclass
class DispatcherHarness:
    """A broker, a signer, a record and a relay, each of which can be away; and the vehicles."""

    now: datetime = START
    connected: bool = True
    confirms: bool = True
    revoked: set[str] = field(default_factory=set)
    signer_away: bool = False
    store_away: bool = False
    signing_takes: timedelta = timedelta()
    has_session: bool = True
    enrolled: bool = True
    asleep: bool = False
    overtaken: bool = False
    ended: set[str] = field(default_factory=set)
    issued: list[tuple[str, SessionSlot]] = field(default_factory=list)
    published: list[OutgoingMessage] = field(default_factory=list)
    unauthorised: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    strange: set[str] = field(default_factory=set)
    taken_over: list[str] = field(default_factory=list)
    signed: list[str] = field(default_factory=list)
    tapped: list[tuple[str, str]] = field(default_factory=list)
    held: dict[str, OutgoingMessage] = field(default_factory=dict)
    dropped: dict[str, OutgoingMessage] = field(default_factory=dict)
    counter: int = 0

    def _reach_store(self) -> None:
        if self.store_away:
            raise StorageUnavailableError("away")

    async def publish_all(self, messages: Sequence[OutgoingMessage]) -> list[bool]:
        self.published += messages
        return [self.confirms] * len(messages)

    async def fetch(self, vins: Iterable[str]) -> None:
        assert set(vins) == {VIN}

    def find(self, _vin: str) -> VehicleKeys | None:
        return KEYS if self.enrolled else None

    async def reserve_slots(self, wanted: Sequence[tuple[str, Domain, int]]) -> list[SessionSlot | None]:
        self._reach_store()
        found: list[SessionSlot | None] = []
        for _vin, _domain, valid_millis in wanted:
            self.counter += 1
            found.append(SessionSlot(EPOCH, self.counter, valid_millis) if self.has_session else None)
        return found

    async def issue(self, signed: Sequence[tuple[str, Any, SessionSlot, bytes]]) -> list[bytes | None]:
        self._reach_store()
        self.issued += [(vin, slot) for vin, _, slot, _ in signed]
        return [None if self.overtaken else request_hash(envelope) for _, _, _, envelope in signed]

    async def sign(self, orders: Sequence[signing.OrderToSign]) -> list[signing.SigningAnswer] | None:
        self.now += self.signing_takes
        if self.signer_away:
            return None
        order_signer = Ed25519OrderSigner(CLOUD_SIGNER, 1)
        answers = []
        for order in orders:
            self.signed.append(order.requested.capability)
            if order.requested.door.subject in self.revoked:
                answers.append(signing.SigningAnswer(verdict=signing.SIGNING_VERDICT_NOT_ALLOWED))
            elif order.requested.door.subject in self.strange:
                answers.append(signing.SigningAnswer(verdict=signing.SIGNING_VERDICT_NOT_PROVEN))
            else:
                envelope = order_signer.sign(order, session_pb2.ROLE_OWNER)
                answers.append(
                    signing.SigningAnswer(verdict=signing.SIGNING_VERDICT_SIGNED, envelope=envelope)
                )
        return answers

    def is_asleep(self, _vin: str) -> bool:
        return self.asleep

    def wake_asleep(self, _vin: str, command_id: str) -> None:
        self.tapped.append(("sleeps", command_id))

    def request_session(self, _vin: str, command_id: str) -> None:
        self.tapped.append(("unknown", command_id))

    async def end_unsigned(self, command_ids: Sequence[str], proven: bool) -> None:
        self._reach_store()
        (self.unauthorised if proven else self.unproven).extend(command_ids)

    async def take_over(self, command_ids: Sequence[str]) -> set[str]:
        self._reach_store()
        self.taken_over += command_ids
        return set(command_ids) - self.ended

    def hand_over(self, messages: Sequence[OutgoingMessage]) -> None:
        self.held |= {m.message_id: m for m in messages}

    def drop(self, message_id: str) -> bool:
        message = self.held.pop(message_id, None)
        if message is not None:
            self.dropped[message_id] = message
        return message is not None

    def restore(self, message_id: str) -> None:
        self.hand_over([self.dropped.pop(message_id)])

    def take_held(self) -> list[OutgoingMessage]:
        taken, self.held = list(self.held.values()), {}
        return taken

    def left(self) -> list[str]:
        """What the published messages are of."""
        return [message.message_id.partition(".")[0] for message in self.published]


@pytest.fixture
def harness() -> DispatcherHarness:
    return DispatcherHarness()


@pytest.fixture
def dispatcher(harness: DispatcherHarness) -> CommandDispatcher:
    fakes: Any = harness
    made = CommandDispatcher(
        fakes,
        harness,
        harness,
        harness,
        harness,
        harness.end_unsigned,
        harness.take_over,
        lambda: harness.now,
    )
    made.relay = fakes
    return made


def command(number: int = 1, subject: str = "user-123") -> Command:
    return Command(
        command_id=f"cmd-{number}",
        vin=VIN,
        door_action=DoorAction(CommandAction.UNLOCK, ("all",), Mode.NORMAL),
        requester=Requester(subject, subject, "MOBILE_APP", proof="capability"),
        correlation_id="c-1",
        accepted_at=START,
        expires_at=START + timedelta(seconds=30),
        estimated_seconds=5,
    )


def accepted(*commands: Command) -> list[OutgoingMessage]:
    return [message for each in commands for message in CommandOutboxMessages(MAC).accepted(each)[:1]]


def cancellation() -> list[OutgoingMessage]:
    cancel_request = CancelRequest("c-1", "User cancellation", force=True)
    return CommandOutboxMessages(MAC).cancel(
        Cancellation("cancel-1", "cmd-1", VIN, cancel_request, OWNER, "x-1", START)
    )
