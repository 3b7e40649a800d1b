"""The way out to vehicles: what leaves, what waits, what never leaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.vehicle.v1 import command_pb2

from protocol.envelope import unpack
from services.command.dispatch import Announcements, Dispatcher
from services.command.domain import Action, Cancellation, Command, Mode, Order, Requester, Withdrawal
from services.runtime.database import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.runtime.outbox import OutgoingMessage

VIN = "KMHSH81C7LU123456"
START = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
OWNER = Requester("user-123", "user-123", "MOBILE_APP")


@dataclass(slots=True)
class World:
    """A broker, an access service, a record and a relay, each of which can be away."""

    now: datetime = START
    connected: bool = True
    confirms: bool = True
    revoked: set[str] = field(default_factory=set)
    access_away: bool = False
    store_away: bool = False
    ended: set[str] = field(default_factory=set)
    published: list[OutgoingMessage] = field(default_factory=list)
    unauthorised: list[str] = field(default_factory=list)
    taken_over: list[str] = field(default_factory=list)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    held: dict[str, OutgoingMessage] = field(default_factory=dict)

    async def publish_all(self, messages: Sequence[OutgoingMessage]) -> list[bool]:
        self.published += messages
        return [self.confirms] * len(messages)

    async def allowed(self, questions: Sequence[tuple[str, str, str]]) -> list[bool] | None:
        self.asked += questions
        return None if self.access_away else [subject not in self.revoked for subject, _, _ in questions]

    async def end_unauthorised(self, command_ids: Sequence[str]) -> None:
        if self.store_away:
            raise StorageUnavailable("away")
        self.unauthorised += command_ids

    async def take_over(self, command_ids: Sequence[str]) -> set[str]:
        if self.store_away:
            raise StorageUnavailable("away")
        self.taken_over += command_ids
        return set(command_ids) - self.ended

    def hand_over(self, messages: Sequence[OutgoingMessage]) -> None:
        self.held |= {m.message_id: m for m in messages}

    def drop(self, message_id: str) -> bool:
        return self.held.pop(message_id, None) is not None

    def take_held(self) -> list[OutgoingMessage]:
        taken, self.held = list(self.held.values()), {}
        return taken


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def dispatcher(world: World) -> Dispatcher:
    fakes: Any = world
    made = Dispatcher(fakes, fakes, world.end_unauthorised, world.take_over, 30, lambda: world.now)
    made.relay = fakes
    return made


def command(number: int = 1, subject: str = "user-123") -> Command:
    return Command(
        command_id=f"cmd-{number}",
        vin=VIN,
        order=Order(Action.UNLOCK, ("all",), Mode.NORMAL),
        requester=Requester(subject, subject, "MOBILE_APP"),
        correlation_id="c-1",
        accepted_at=START,
        expires_at=START + timedelta(seconds=30),
        estimated_seconds=5,
    )


def accepted(*commands: Command) -> list[OutgoingMessage]:
    return [message for each in commands for message in Announcements().accepted(each)[:1]]


def cancellation() -> list[OutgoingMessage]:
    withdrawal = Withdrawal("c-1", "User cancellation", force=True)
    return Announcements().cancel(Cancellation("cancel-1", "cmd-1", VIN, withdrawal, OWNER, "x-1", START))


async def test_a_command_leaves_packed_and_only_as_long_as_it_lives(
    world: World, dispatcher: Dispatcher
) -> None:
    dispatcher.committed(accepted(command()))
    world.now += timedelta(seconds=10.5)
    assert await dispatcher.send(world.take_held()) == [True]
    [sent] = world.published
    unpacked = unpack(sent.payload, vin=VIN)
    assert isinstance(unpacked.payload, command_pb2.DoorCommand)
    assert (unpacked.message_id, unpacked.payload.all_doors, sent.ttl_seconds) == ("cmd-1", True, 20)
    assert world.asked == [("user-123", VIN, "door.unlock")]
    assert world.taken_over == []


async def test_what_has_begun_to_leave_can_not_be_withdrawn(world: World, dispatcher: Dispatcher) -> None:
    dispatcher.committed(accepted(command(1), command(2)))
    assert dispatcher.surely_unsent("cmd-1")
    assert dispatcher.withdraw("cmd-1")
    assert not dispatcher.withdraw("cmd-1")
    world.confirms = False
    assert await dispatcher.send(world.take_held()) == [False]
    assert not dispatcher.surely_unsent("cmd-2")
    dispatcher.relay.hand_over(accepted(command(2)))
    assert not dispatcher.withdraw("cmd-2")


async def test_only_what_this_process_accepted_may_be_withdrawn(world: World, dispatcher: Dispatcher) -> None:
    world.hand_over(accepted(command()))  # as the relay's scan does
    assert not dispatcher.withdraw("cmd-1")
    assert not dispatcher.surely_unsent("cmd-1")


async def test_what_may_have_left_elsewhere_is_taken_over_and_leaves_only_alive(
    world: World, dispatcher: Dispatcher
) -> None:
    world.ended.add("cmd-1")
    assert await dispatcher.send(accepted(command(1), command(2))) == [True, True]
    assert sorted(world.taken_over) == ["cmd-1", "cmd-2"]
    assert [m.message_id for m in world.published] == ["cmd-2"]


async def test_a_restored_command_is_taken_over_first(world: World, dispatcher: Dispatcher) -> None:
    dispatcher.committed(accepted(command()))
    assert dispatcher.withdraw("cmd-1")
    world.now += timedelta(seconds=5)
    dispatcher.restore(command())
    restored = world.take_held()
    assert restored[0].created_at == world.now
    assert await dispatcher.send(restored) == [True]
    assert world.taken_over == ["cmd-1"]


async def test_nothing_is_tried_while_the_broker_is_away(world: World, dispatcher: Dispatcher) -> None:
    dispatcher.committed(accepted(command()))
    world.connected = False
    assert await dispatcher.send(world.take_held()) == [False]
    assert dispatcher.surely_unsent("cmd-1")
    assert world.asked == []


async def test_an_expired_command_is_dealt_with_and_never_leaves(
    world: World, dispatcher: Dispatcher
) -> None:
    dispatcher.committed(accepted(command()))
    world.now += timedelta(seconds=30)
    assert await dispatcher.send(world.take_held()) == [True]
    assert world.published == []


async def test_a_command_that_expires_while_its_right_is_asked_for_does_not_leave(
    world: World, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slowly(questions: Sequence[tuple[str, str, str]]) -> list[bool]:
        world.now += timedelta(seconds=30)
        return [True] * len(questions)

    dispatcher.committed(accepted(command()))
    monkeypatch.setattr(World, "allowed", lambda _world, questions: slowly(questions))
    assert await dispatcher.send(world.take_held()) == [True]
    assert world.published == []
    assert dispatcher.surely_unsent("cmd-1")


async def test_a_right_that_ended_ends_the_command_and_no_other(world: World, dispatcher: Dispatcher) -> None:
    dispatcher.committed(accepted(command(1, "user-9"), command(2)))
    world.revoked.add("user-9")
    assert await dispatcher.send(world.take_held()) == [True, True]
    assert world.unauthorised == ["cmd-1"]
    assert [m.message_id for m in world.published] == ["cmd-2"]


async def test_a_right_that_ended_after_a_first_try_ends_nothing(
    world: World, dispatcher: Dispatcher
) -> None:
    world.revoked.add("user-123")
    assert await dispatcher.send(accepted(command())) == [True]
    assert (world.unauthorised, world.published) == ([], [])


async def test_while_the_access_service_is_away_commands_wait_and_cancellations_leave(
    world: World, dispatcher: Dispatcher
) -> None:
    dispatcher.committed([*accepted(command()), *cancellation()])
    world.access_away = True
    assert await dispatcher.send(world.take_held()) == [False, True]
    assert [m.message_id for m in world.published] == ["cancel-1"]
    assert dispatcher.surely_unsent("cmd-1")


@pytest.mark.parametrize("own", [True, False])
async def test_while_the_store_is_away_what_needs_it_waits(
    world: World, dispatcher: Dispatcher, own: bool
) -> None:
    if own:
        dispatcher.committed(accepted(command()))
        world.revoked.add("user-123")
    world.store_away = True
    assert await dispatcher.send(accepted(command())) == [False]
    assert world.published == []
