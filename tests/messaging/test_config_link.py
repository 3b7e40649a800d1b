import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ecarus.remotecontrol.access.v1 import grant_pb2
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as signing
from ecarus.remotecontrol.door.v1.room_event_pb2 import SettingsWithdrawn
from ecarus.remotecontrol.vehicle.v1 import command_pb2, report_pb2
from nats.js.errors import NotFoundError

import services.config
from protocol.broker import (
    GRANT_REVOKED_SUBJECT,
    ROOM_EVENTS,
    SETTINGS_WITHDRAWN_SUBJECT,
    STREAMS,
    VEHICLE_COMMANDS,
    VEHICLE_EVENTS,
    Event,
)
from protocol.domains import Domain
from protocol.vehicle_side import Faulted
from services.config import store
from services.config.dispatch import outgoing
from services.config.domain import (
    MOST_RESENDS,
    NOT_PROVEN,
    RIGHT_ENDED,
    ApplicationState,
    DoorConfig,
    DoorSettings,
    Proof,
    push,
)
from services.runtime import jetstream
from services.runtime.database import open_database
from services.runtime.migration import migrate
from tests.messaging.config_stand import FakeEnrolment, FakeSigner, Room, answer, serving
from tests.protocol.stand import OTHER_VIN, VIN, Car, Clock, signer

MIGRATIONS = Path(services.config.__file__).with_name("migrations")
APPLIED, REJECTED, PENDING = ApplicationState.APPLIED, ApplicationState.REJECTED, ApplicationState.PENDING


def is_state(state: ApplicationState) -> Any:
    return lambda config: config.state is state


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def car(clock: Clock) -> Car:
    return Car(VIN, clock)


@pytest.fixture
def other(clock: Clock) -> Car:
    return Car(OTHER_VIN, clock)


@pytest.fixture
async def idle(
    nats_server: Any, tmp_path: Path, clock: Clock, car: Car, other: Car
) -> AsyncIterator[tuple[Room, Room]]:
    """Two replicas of the room on one database, not running. They have not heard of any car."""
    url = f"sqlite:///{tmp_path}/config.sqlite3"
    await asyncio.to_thread(migrate, url, MIGRATIONS, store.HEAD)
    database = await open_database(url)
    brokers = [await jetstream.connect(nats_server.settings(), f"room-config-{n}") for n in range(2)]
    for broker in brokers:
        await broker.ensure_streams(
            *(STREAMS[name] for name in (VEHICLE_EVENTS, VEHICLE_COMMANDS, ROOM_EVENTS))
        )
    enrolment, fake_signer = FakeEnrolment(), FakeSigner()
    enrolment.enrol(car)
    enrolment.enrol(other)
    async with serving(fake_signer, enrolment) as channel:
        rooms = [Room(database, broker, channel, fake_signer, clock) for broker in brokers]
        yield rooms[0], rooms[1]
        for room in rooms:
            await room.crash()
            await room.broker.close()
    await database.close()


@pytest.fixture
async def running(idle: tuple[Room, Room]) -> Room:
    """It has not heard of any car."""
    idle[0].run()
    return idle[0]


@pytest.fixture
async def room(running: Room, car: Car) -> Room:
    """It has the session of the first car."""
    await running.until_greeted(car)
    return running


async def test_a_change_reaches_the_vehicle_signed_and_its_answer_comes_back(room: Room, car: Car) -> None:
    await room.change("c-1", auto_lock_delay_seconds=60)

    told, request_hash = await room.accepted(car)
    assert (told.version, told.settings.auto_lock_delay_seconds) == (1, 60)

    await room.publish(Event.CONFIG, answer(car, "m-1", request_hash, 1).data)
    config = await room.until(is_state(APPLIED))
    assert config.applied_version == 1


async def test_a_rejection_says_why(room: Room, car: Car) -> None:
    await room.change("c-1", auto_lock_delay_seconds=60)
    _, request_hash = await room.accepted(car)

    await room.publish(Event.CONFIG, answer(car, "m-1", request_hash, 1, "no such lock").data)

    config = await room.until(is_state(REJECTED))
    # What runs is shown, and not what was refused.
    assert (config.rejection, config.settings.auto_lock_delay_seconds) == ("no such lock", 30)


async def test_a_hello_that_is_behind_is_answered_once_however_often_it_comes(room: Room, car: Car) -> None:
    await room.change("c-1", child_lock_enabled=True)
    await room.queued(1)  # lost in the car

    await room.greet(car, "m-1", 0, times=3)
    told, request_hash = await room.accepted(car)
    await room.greet(car, "m-2", 1)
    await room.until(is_state(APPLIED))

    assert told.version == 1
    assert (
        await room.ever_published() == 2
    )  # the change and the answer to the hello; nothing else was ever sent
    await room.publish(Event.CONFIG, answer(car, "m-3", request_hash, 1).data)
    await room.greet(car, "m-4", 1)


async def test_settings_for_a_vehicle_that_never_said_hello_wait_for_its_hello(
    running: Room, car: Car
) -> None:
    await running.change("c-1", child_lock_enabled=True)
    await running.until_dealt_with()
    assert await running.ever_published() == 0

    await running.greet(car, "m-1", 0)

    told, _ = await running.accepted(car)
    assert (told.version, len(running.signer.signed)) == (1, 1)


async def test_the_settings_days_later_carry_the_same_proof(room: Room, car: Car, clock: Clock) -> None:
    await room.change("c-1", child_lock_enabled=True)
    await room.queued(1)  # lost in the car
    clock.advance(3 * 86_400)
    car.boot()

    await room.greet(car, "m-1", 0)

    told, _ = await room.accepted(car)
    assert told.version == 1


async def test_garbage_and_forgeries_are_kept_aside_and_block_nothing(
    room: Room, car: Car, other: Car
) -> None:
    await room.change("c-1", child_lock_enabled=True)
    _, request_hash = await room.accepted(car)
    impostor = Car(VIN, car.clock)
    impostor.signer = signer("somebody else")
    impostor.boot()

    await room.publish(Event.HELLO, b"\xff\xfe")
    await room.publish(Event.HELLO, room.hello(impostor, "m-1", 1))
    await room.publish(Event.CONFIG, room.hello(car, "m-2", 1))
    await room.publish(Event.HELLO, room.hello(other, "m-3", 1))
    await room.publish(Event.HELLO, room.hello(car, "m-4", -1))
    await room.publish(Event.CONFIG, answer(other, "m-5", request_hash, 1).data)
    await room.publish(Event.CONFIG, answer(car, "m-6", bytes(32), 1).data)
    await room.publish(Event.CONFIG, answer(impostor, "m-7", request_hash, 1).data)

    letters = await room.letters(8)
    reasons = sorted(letter.reason.partition(":")[0] for letter in letters)
    assert reasons == [
        "BAD_SIGNATURE",
        "MALFORMED",
        "NOT_FOR_US",
        "NOT_FOR_US",
        "UNKNOWN_KEY",
        "UNKNOWN_KEY",
        "WRONG_REQUEST",
        "config version -1",
    ]
    config = await room.record.find(VIN)
    assert config is not None
    assert config.state is PENDING
    await room.greet(car, "m-8", 1)
    await room.until(is_state(APPLIED))


async def test_another_cars_answer_to_this_order_is_not_believed(room: Room, car: Car, other: Car) -> None:
    await room.until_greeted(other)
    await room.change("c-1", child_lock_enabled=True)
    await room.change("c-2", vin=OTHER_VIN, child_lock_enabled=True)
    _, request_hash = await room.accepted(car)

    # Signed by the other car, about itself, but naming the request of the first.
    await room.publish(Event.CONFIG, answer(other, "m-1", request_hash, 1).data, OTHER_VIN)

    (letter,) = await room.letters(1)
    assert letter.reason.startswith("WRONG_REQUEST")
    assert (await room.until(lambda _: True, OTHER_VIN)).state is PENDING


async def test_an_answer_is_taken_in_once(room: Room, car: Car) -> None:
    await room.change("c-1", child_lock_enabled=True)
    _, first = await room.accepted(car)
    rejection = answer(car, "m-1", first, 1, "not now").data
    await room.publish(Event.CONFIG, rejection)
    await room.until(is_state(REJECTED))
    await room.change("c-2", child_lock_enabled=False)
    _, second = await room.accepted(car)

    await room.publish(Event.CONFIG, rejection, times=2)
    await room.publish(Event.CONFIG, answer(car, "m-1", second, 2, "signed again under the same id").data)
    await room.publish(Event.CONFIG, b"the end")

    (letter,) = await room.letters(1)  # a repetition is no poison
    assert letter.payload == b"the end"
    assert (await room.until(lambda _: True)).state is PENDING


async def test_an_answer_before_the_hello_of_its_epoch_waits_for_it(room: Room, car: Car) -> None:
    await room.change("c-1", child_lock_enabled=True)
    _, request_hash = await room.accepted(car)
    car.boot()

    await room.publish(Event.CONFIG, answer(car, "m-1", request_hash, 1).data)
    await room.greet(car, "m-2", 0)

    await room.until(is_state(APPLIED))


async def test_a_vehicle_that_rebooted_gets_the_settings_again_for_its_new_epoch(
    room: Room, car: Car
) -> None:
    await room.change("c-1", child_lock_enabled=True)
    (for_the_old,) = await room.queued(1)
    car.boot()
    refused = car.receive(for_the_old, Domain.CONFIG)
    assert isinstance(refused, Faulted)
    assert refused.fault.name == "WRONG_EPOCH"
    assert refused.answer is not None

    await room.publish(Event.CONFIG, refused.answer.data, times=2)

    told, request_hash = await room.accepted(car)
    assert told.version == 1
    await room.publish(Event.CONFIG, answer(car, "m-1", request_hash, 1).data)
    await room.until(is_state(APPLIED))
    assert await room.ever_published() == 2


async def test_a_vehicle_that_is_always_out_of_step_does_not_keep_everybody_busy(
    room: Room, car: Car
) -> None:
    await room.change("c-1", child_lock_enabled=True)
    for _ in range(MOST_RESENDS + 1):
        (data,) = await room.queued(1)
        car.boot()
        refused = car.receive(data, Domain.CONFIG)
        assert isinstance(refused, Faulted)
        assert refused.answer is not None
        await room.publish(Event.CONFIG, refused.answer.data)

    await room.publish(Event.CONFIG, b"the end")
    await room.letters(1)
    await room.until_dealt_with()
    assert await room.ever_published() == MOST_RESENDS + 1

    await room.greet(car, "m-1", 0)
    told, _ = await room.accepted(car)
    assert told.version == 1


async def tell_of_the_end(room: Room, **told: Any) -> None:
    revoked = grant_pb2.GrantRevoked(**({"principal": "user-123", "vin": VIN} | told))
    await room.broker.jetstream.publish(GRANT_REVOKED_SUBJECT, revoked.SerializeToString())


async def withdrawn(room: Room) -> SettingsWithdrawn:
    """What the room that keeps vehicles' queues is told."""
    async with asyncio.timeout(10):
        while True:
            try:
                told = await room.broker.jetstream.get_last_msg(ROOM_EVENTS, SETTINGS_WITHDRAWN_SUBJECT)
            except NotFoundError:
                await asyncio.sleep(0.01)
            else:
                return SettingsWithdrawn.FromString(told.data or b"")


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"vin": ""},
        {"vin": "", "kind": grant_pb2.ENDED_RIGHT_ACCOUNT},
        {"principal": "", "vin": "", "kind": grant_pb2.ENDED_RIGHT_CREDENTIAL},
    ],
    ids=["grant", "all vehicles", "account", "credential"],
)
async def test_settings_on_their_way_are_taken_back_when_the_right_ends(
    room: Room, car: Car, told: dict[str, Any]
) -> None:
    await room.change("c-1", auto_lock_delay_seconds=60)
    await room.until_dealt_with()  # they lie in the vehicle's queue
    room.signer.end_right_of("user-123")
    await tell_of_the_end(room, **told)
    config = await room.until(is_state(REJECTED))
    assert config.rejection == RIGHT_ENDED
    assert await withdrawn(room) == SettingsWithdrawn(vin=VIN, version=1)
    await room.greet(car, "m-9", 0)
    await room.greet(car, "m-10", 0)
    await room.until_dealt_with()
    assert len(room.signer.signed) == 1


async def test_settings_of_others_and_those_still_allowed_go_on(room: Room, car: Car) -> None:
    await room.change("c-1", auto_lock_delay_seconds=60)
    await tell_of_the_end(room)  # another grant allows it
    await tell_of_the_end(room, principal="user-9")
    await room.broker.jetstream.publish(GRANT_REVOKED_SUBJECT, b"\xff")
    await room.letters(1)
    told, request_hash = await room.accepted(car)
    await room.publish(Event.CONFIG, answer(car, "m-1", request_hash, told.version).data)
    await room.until(is_state(APPLIED))


async def test_while_nobody_can_tell_of_the_right_its_end_waits(room: Room, car: Car) -> None:
    await room.change("c-1", auto_lock_delay_seconds=60)
    await room.until_dealt_with()
    room.signer.end_right_of("user-123")
    room.signer.away = True
    await tell_of_the_end(room)
    await room.greet(car, "m-1", 0)
    room.signer.asked.clear()
    room.signer.away = False
    assert (await room.until(is_state(REJECTED))).rejection == RIGHT_ENDED


async def test_nothing_is_signed_after_the_right_ended(room: Room, car: Car) -> None:
    await room.change("c-1", child_lock_enabled=True)
    await room.queued(1)  # lost in the car
    room.signer.end_right_of("user-123")

    await room.greet(car, "m-1", 0)

    config = await room.until(is_state(REJECTED))
    assert config.rejection == RIGHT_ENDED
    room.signer.asked.clear()
    await room.greet(car, "m-2", 0)
    await room.publish(Event.CONFIG, b"the end")
    await room.letters(1)
    await room.until_dealt_with()
    assert not room.signer.asked.is_set()  # given up is given up

    await room.change("c-2", subject="user-456", child_lock_enabled=True)  # the same again, by who may

    told, _ = await room.accepted(car)
    assert (told.version, told.settings.child_lock_enabled) == (2, True)
    assert [order.config.version for order in room.signer.signed] == [1, 2]


@pytest.mark.parametrize("capability", ["", "made up", "of another vehicle"])
async def test_settings_that_nobody_asked_for_never_leave_and_hold_up_no_other(
    running: Room, car: Car, other: Car, capability: str
) -> None:
    await running.until_greeted(car)
    await running.until_greeted(other)
    running.signer.capabilities["of another vehicle"] = (OTHER_VIN, "user-456")
    await running.crash()
    await running.change("c-1", child_lock_enabled=True)
    forged = DoorConfig(VIN, DoorSettings(auto_lock_enabled=False), running.now(), desired_version=1)
    await running.put(outgoing(push(forged, Proof(capability, running.now()), "forged"), running.now()))
    await running.change("c-2", vin=OTHER_VIN, child_lock_enabled=True)

    running.run()

    told, _ = await running.accepted(other)
    config = await running.until(is_state(REJECTED))
    assert config.rejection == NOT_PROVEN
    await running.until_dealt_with()
    assert told.version == 1
    assert [order.vin for order in running.signer.signed] == [OTHER_VIN]


async def test_outbox_rows_that_are_no_settings_never_leave_and_hold_up_no_other(
    room: Room, car: Car
) -> None:
    capability = room.signer.issue(VIN, "user-123")
    unlock = signing.RequestedOrder(
        vin=VIN, capability=capability, door=command_pb2.DoorCommand(command_id="cmd-1")
    )
    elsewhere = signing.RequestedOrder(
        vin="nonsense", capability=capability, config=command_pb2.ApplyConfig(version=1)
    )
    like = outgoing(
        push(DoorConfig(VIN, DoorSettings(), room.now(), 1), Proof(capability, room.now()), "x"), room.now()
    )
    for number, payload in enumerate((unlock.SerializeToString(), elsewhere.SerializeToString(), b"\xff")):
        await room.put(replace(like, message_id=f"forged-{number}", payload=payload))
    await room.put(replace(like, message_id="forged-3", subject="vehicle.nonsense.cmd.config"))

    await room.change("c-1", child_lock_enabled=True)

    told, _ = await room.accepted(car)
    await room.until_dealt_with()
    assert (told.version, await room.ever_published()) == (1, 1)


async def test_settings_wait_for_a_signer_that_is_away(room: Room, car: Car) -> None:
    room.signer.away = True
    await room.change("c-1", child_lock_enabled=True)
    await asyncio.wait_for(room.signer.asked.wait(), 10)

    room.signer.away = False

    told, _ = await room.accepted(car)
    assert told.version == 1


async def test_of_several_changes_at_once_the_newest_leaves(room: Room, car: Car) -> None:
    await room.crash()
    await room.change("c-1", child_lock_enabled=True)
    await room.change("c-2", auto_lock_delay_seconds=60)

    room.run()

    told, _ = await room.accepted(car)
    await room.until_dealt_with()
    assert (told.version, told.settings.child_lock_enabled) == (2, True)
    assert await room.ever_published() == 1


async def test_of_two_replicas_that_issue_at_once_one_begins_again(idle: tuple[Room, Room], car: Car) -> None:
    one, two = idle
    one.run()
    await one.until_greeted(car)
    await one.crash()
    await one.change("c-1", child_lock_enabled=True)
    config = DoorConfig(VIN, DoorSettings(child_lock_enabled=True), one.now(), desired_version=1)
    proof = Proof(one.signer.issue(VIN, "user-123"), one.now())
    messages = [outgoing(push(config, proof, cause), one.now()) for cause in ("a", "b")]
    one.signer.meet(2)

    sent = await asyncio.gather(one.dispatcher.send(messages[:1]), two.dispatcher.send(messages[1:]))

    assert sorted(sent) == [[False], [True]]
    assert [order.counter for order in one.signer.signed] == [1, 1]
    late = sent.index([False])
    assert await idle[late].dispatcher.send([messages[late]]) == [True]
    assert [order.counter for order in one.signer.signed] == [1, 1, 2]
    assert await one.ever_published() == 2  # never an order whose place was another's


async def test_what_was_said_while_the_room_was_down_is_heard(idle: tuple[Room, Room], car: Car) -> None:
    before, after = idle
    before.run()
    await before.until_greeted(car)
    await before.change("c-1", child_lock_enabled=True)
    _, request_hash = await before.accepted(car)
    await before.crash()
    await before.broker.close()
    await after.publish(Event.CONFIG, answer(car, "m-1", request_hash, 1).data)

    after.run()

    await after.until(is_state(APPLIED))


async def test_a_change_made_while_the_broker_is_away_reaches_the_vehicle(
    room: Room, car: Car, nats_server: Any
) -> None:
    back = asyncio.Event()

    async def notice() -> None:
        back.set()

    await room.broker.at_every_connect(notice)
    back.clear()
    nats_server.kill()
    await room.change("c-1", child_lock_enabled=True)

    nats_server.start()
    await asyncio.wait_for(back.wait(), 10)

    told, _ = await room.accepted(car)
    assert told.settings.child_lock_enabled


async def test_a_hello_that_answers_somebody_elses_challenge_is_no_poison(room: Room, car: Car) -> None:
    words = report_pb2.Hello(boot_id="boot", config_version=0)

    await room.publish(Event.HELLO, car.side.seal_hello(words, "m-1", bytes(16)))
    await room.publish(Event.HELLO, b"the end")

    (letter,) = await room.letters(1)
    assert letter.payload == b"the end"
