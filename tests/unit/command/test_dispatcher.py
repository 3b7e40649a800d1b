"""The way out to vehicles: what leaves, what waits, what never leaves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as signing
from ecarus.remotecontrol.vehicle.v1 import session_pb2

from protocol import cose
from protocol.cloud_side import SessionSlot
from protocol.keys import OpenKeys, VehicleKeys
from protocol.order import request_hash
from protocol.seal import Direction, unseal
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
        order=DoorAction(CommandAction.UNLOCK, ("all",), Mode.NORMAL),
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


async def test_a_command_leaves_signed_and_sealed_and_only_as_long_as_it_lives(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    dispatcher.committed(accepted(command()))
    harness.now += timedelta(seconds=10.5)
    assert await dispatcher.send(harness.take_held()) == [True]
    [sent] = harness.published
    envelope = unseal(sent.payload, OpenKeys(SEAL_KEY), Direction.TO_VEHICLE, VIN)
    order = session_pb2.SignedOrder.FromString(cose.decode(envelope).payload)
    assert (order.vin, order.epoch, order.counter, order.door.all_doors) == (VIN, EPOCH, 1, True)
    assert (order.expires_at_millis, sent.ttl_seconds) == (19_500, 20)
    assert sent.message_id == f"cmd-1.{request_hash(envelope).hex()[:16]}"
    assert (harness.signed, harness.taken_over) == (["capability"], [])


async def test_what_is_signed_is_recorded_before_it_leaves(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    dispatcher.committed(accepted(command()))
    harness.overtaken = True
    assert await dispatcher.send(harness.take_held()) == [False]
    assert (len(harness.issued), harness.published) == (1, [])


async def test_signed_again_it_is_another_message(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    harness.confirms = False
    assert await dispatcher.send(accepted(command())) == [False]
    assert await dispatcher.send(accepted(command())) == [False]
    first, second = (message.message_id for message in harness.published)
    assert first != second


async def test_what_has_begun_to_leave_can_not_be_withdrawn(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    dispatcher.committed(accepted(command(1), command(2)))
    assert dispatcher.surely_unsent("cmd-1")
    assert dispatcher.hold_back("cmd-1")
    assert not dispatcher.hold_back("cmd-1")
    harness.confirms = False
    assert await dispatcher.send(harness.take_held()) == [False]
    assert not dispatcher.surely_unsent("cmd-2")
    dispatcher.relay.hand_over(accepted(command(2)))
    assert not dispatcher.hold_back("cmd-2")


async def test_only_what_this_process_accepted_may_be_withdrawn(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    harness.hand_over(accepted(command()))  # as the relay's scan does
    assert not dispatcher.hold_back("cmd-1")
    assert not dispatcher.surely_unsent("cmd-1")


async def test_what_may_have_left_elsewhere_is_taken_over_and_leaves_only_alive(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    harness.ended.add("cmd-1")
    assert await dispatcher.send(accepted(command(1), command(2))) == [True, True]
    assert sorted(harness.taken_over) == ["cmd-1", "cmd-2"]
    assert harness.left() == ["cmd-2"]


async def test_a_restored_command_is_taken_over_first(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    dispatcher.committed(accepted(command()))
    assert dispatcher.hold_back("cmd-1")
    dispatcher.restore("cmd-1")
    assert await dispatcher.send(harness.take_held()) == [True]
    assert harness.taken_over == ["cmd-1"]


async def test_nothing_is_tried_while_the_broker_is_away(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    dispatcher.committed(accepted(command()))
    harness.connected = False
    assert await dispatcher.send(harness.take_held()) == [False]
    assert dispatcher.surely_unsent("cmd-1")
    assert harness.signed == []


@pytest.mark.parametrize("lacking", ["has_session", "enrolled"])
async def test_what_can_not_be_signed_yet_is_parked_and_surely_unsent(
    harness: DispatcherHarness, dispatcher: CommandDispatcher, lacking: str
) -> None:
    setattr(harness, lacking, False)
    dispatcher.committed([*accepted(command()), *cancellation()])
    assert await dispatcher.send(harness.take_held()) == [None, None]
    assert dispatcher.surely_unsent("cmd-1")
    assert (harness.signed, harness.published) == ([], [])
    assert harness.tapped == ([("unknown", "cmd-1")] if lacking == "has_session" else [])


async def test_a_vehicle_that_sleeps_is_woken_and_its_command_waits_at_the_broker(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    harness.asleep = True
    assert await dispatcher.send(accepted(command())) == [True]
    assert (harness.tapped, harness.left()) == ([("sleeps", "cmd-1")], ["cmd-1"])


async def test_an_expired_command_is_dealt_with_and_never_leaves(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    dispatcher.committed(accepted(command()))
    harness.now += timedelta(seconds=30)
    assert await dispatcher.send(harness.take_held()) == [True]
    assert (harness.signed, harness.published) == ([], [])


async def test_a_command_that_expires_while_it_is_signed_does_not_leave(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    dispatcher.committed(accepted(command()))
    harness.signing_takes = timedelta(seconds=30)
    assert await dispatcher.send(harness.take_held()) == [True]
    assert harness.published == []
    assert dispatcher.surely_unsent("cmd-1")


async def test_a_right_that_ended_ends_the_command_and_no_other(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    dispatcher.committed(accepted(command(1, "user-9"), command(2)))
    harness.revoked.add("user-9")
    assert await dispatcher.send(harness.take_held()) == [True, True]
    assert harness.unauthorised == ["cmd-1"]
    assert harness.left() == ["cmd-2"]


async def test_what_is_not_proven_is_not_called_a_right_that_ended(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    """A clock that was put back makes the proof one of the future; nobody's right has ended."""
    harness.revoked, harness.strange = {"guest"}, {"user-123"}
    dispatcher.committed(messages := accepted(command(1), command(2, "guest")))
    assert await dispatcher.send(messages) == [True, True]
    assert (harness.unproven, harness.unauthorised) == (["cmd-1"], ["cmd-2"])
    assert harness.left() == []


async def test_a_right_that_ended_after_a_first_try_ends_nothing(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    harness.revoked.add("user-123")
    assert await dispatcher.send(accepted(command())) == [True]
    assert (harness.unauthorised, harness.published) == ([], [])


async def test_what_is_recalled_stays_here_until_it_is_released(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    dispatcher.committed(accepted(command(1), command(2)))
    await dispatcher.recall(["cmd-1"])
    assert await dispatcher.send(harness.take_held()) == [None, True]
    assert (harness.left(), dispatcher.surely_unsent("cmd-1")) == (["cmd-2"], True)
    dispatcher.release(["cmd-1"])
    assert await dispatcher.send(accepted(command(1))) == [True]
    assert harness.left() == ["cmd-2", "cmd-1"]


async def test_what_is_recalled_while_it_is_signed_does_not_leave(
    harness: DispatcherHarness, dispatcher: CommandDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign = harness.sign

    async def recalled_meanwhile(orders: Sequence[signing.OrderToSign]) -> Any:
        await dispatcher.recall(["cmd-1"])
        return await sign(orders)

    monkeypatch.setattr(harness, "sign", recalled_meanwhile)
    dispatcher.committed(accepted(command(1)))
    assert await dispatcher.send(harness.take_held()) == [None]
    assert (harness.published, dispatcher.surely_unsent("cmd-1")) == ([], True)


async def test_a_recall_waits_for_what_is_just_leaving(
    harness: DispatcherHarness, dispatcher: CommandDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, confirmed = asyncio.Event(), asyncio.Event()

    async def publish(messages: Sequence[OutgoingMessage]) -> list[bool]:
        began.set()
        await confirmed.wait()
        return [True] * len(messages)

    monkeypatch.setattr(harness, "publish_all", publish)
    dispatcher.committed(accepted(command(1)))
    sending = asyncio.create_task(dispatcher.send(harness.take_held()))
    await began.wait()
    recalling = asyncio.create_task(dispatcher.recall(["cmd-1"]))
    await asyncio.sleep(0)
    assert not recalling.done()
    confirmed.set()
    await asyncio.gather(sending, recalling)
    assert not dispatcher.surely_unsent("cmd-1")


async def test_while_nobody_signs_all_wait(harness: DispatcherHarness, dispatcher: CommandDispatcher) -> None:
    dispatcher.committed([*accepted(command()), *cancellation()])
    harness.signer_away = True
    assert await dispatcher.send(harness.take_held()) == [False, False]
    assert harness.published == []
    assert dispatcher.surely_unsent("cmd-1")


@pytest.mark.parametrize("own", [True, False])
async def test_while_the_store_is_away_what_needs_it_waits(
    harness: DispatcherHarness, dispatcher: CommandDispatcher, own: bool
) -> None:
    if own:
        dispatcher.committed(accepted(command()))
    harness.store_away = True
    assert await dispatcher.send(accepted(command())) == [False]
    assert harness.published == []


async def test_a_row_that_nobody_here_wrote_stops_no_other(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    good, *_ = accepted(command(2))
    garbage = [
        type(good)("cmd-x", good.queue, good.subject, b"\xff\xff", START),
        type(good)("cmd-y", good.queue, good.subject.replace("3456", "4321"), good.payload, START),
        type(good)("cmd-z", good.queue, good.subject, b"", START),
    ]
    assert await dispatcher.send([*garbage, good]) == [True] * 4
    assert harness.left() == ["cmd-2"]
