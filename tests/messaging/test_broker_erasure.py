"""What the broker keeps of a person is written over in its files, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.access.v1.grant_pb2 import AccessChanged
from ecarus.remotecontrol.door.v1.door_update_pb2 import CommandStatusChange, DoorUpdate, SystemAlert

from protocol.consumers import CONSUMERS, readers_of
from protocol.streams import DOOR_UPDATES, ROOM_EVENTS, STREAMS
from protocol.subjects import GRANT_REVOKED_SUBJECT, STATUS_CHECKS_SUBJECT
from services.command.adapters.translate import correlation_ids_in
from services.platform.broker_erasure import MESSAGES_KEPT, SETTLED_SECONDS, BrokerErasure
from services.telematics.broker import connect_broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.platform.jetstream import Broker
    from tests.messaging.conftest import NatsServer

VIN = "KMHSH81C7LU123456"
OWN_VIN = "KMHSH81C7LU654321"
UPDATES = f"door.command.{VIN}"
WHO, LONGER = "canary-1", "canary-12"


class Clock:
    """Seconds, as the test moves them."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
async def broker(nats_server: NatsServer) -> AsyncIterator[Broker]:
    connected = await connect_broker(nats_server.settings(), name="room")
    await connected.ensure_streams(STREAMS[ROOM_EVENTS], STREAMS[DOOR_UPDATES])
    yield connected
    await connected.client.close()


def message(person: str, event_id: str = "e-1") -> bytes:
    return AccessChanged(event_id=event_id, vin=VIN, principal=person).SerializeToString()


async def tell(broker: Broker, subject: str, *messages: bytes) -> None:
    for each in messages:
        await broker.jetstream.publish(subject, each)


def stored(server: NatsServer, words: str) -> bool:
    """Whether any of the broker's files has these bytes."""
    files = [each for each in server.folder.rglob("*") if each.is_file()]
    assert files
    return any(words.encode() in each.read_bytes() for each in files)


async def left(broker: Broker, stream: str) -> int:
    return (await broker.jetstream.stream_info(stream)).state.messages


async def test_all_that_names_a_person_is_written_over_and_nothing_else(
    nats_server: NatsServer, broker: Broker
) -> None:
    clock = Clock()
    erasure = BrokerErasure(broker, DOOR_UPDATES, {}, clock, piece_seconds=60)
    for number in range(300):  # more than are read at once
        await tell(broker, UPDATES, message(LONGER, f"e-{number}"))
    await tell(
        broker, UPDATES, message(WHO), message("user-9", "chosen-word"), message("user-9", "a-chosen-word")
    )
    assert stored(nats_server, WHO)
    assert stored(nats_server, "chosen-word")
    assert await erasure.erase("er-1", WHO, ["chosen-word"]) == MESSAGES_KEPT  # more may be on its way
    await tell(broker, UPDATES, message(WHO, "told-late"))
    clock.at += SETTLED_SECONDS
    assert await erasure.erase("er-1", WHO, ["chosen-word"]) == ""
    assert await left(broker, DOOR_UPDATES) == 301
    assert not stored(nats_server, "told-late")
    kept = [
        (await broker.jetstream.get_msg(DOOR_UPDATES, seq=number)).data or b"" for number in (1, 300, 303)
    ]
    assert [AccessChanged.FromString(each).event_id for each in kept] == ["e-0", "e-299", "a-chosen-word"]
    assert await erasure.erase("er-1", WHO) == ""  # as often as it is asked


async def test_a_chosen_correlation_id_takes_nothing_of_other_cars(broker: Broker) -> None:
    clock = Clock()
    erasure = BrokerErasure(broker, DOOR_UPDATES, {}, clock, words_in=correlation_ids_in, piece_seconds=60)
    alert = DoorUpdate(vin=VIN, system_alert=SystemAlert(code="ACCESS_TRANSFERRED"))
    own = DoorUpdate(vin=OWN_VIN, command_status=CommandStatusChange(correlation_id=VIN))
    for update in (alert, own):
        await tell(broker, f"door.command.{update.vin}", update.SerializeToString())
    await tell(broker, UPDATES, b"\x0f" + VIN.encode())  # no update
    await erasure.erase("er-1", WHO, [VIN])
    clock.at += SETTLED_SECONDS
    assert await erasure.erase("er-1", WHO, [VIN]) == ""
    assert await left(broker, DOOR_UPDATES) == 2
    kept = (await broker.jetstream.get_msg(DOOR_UPDATES, seq=1)).data or b""
    assert DoorUpdate.FromString(kept) == alert


async def test_nothing_is_taken_from_a_service_that_has_not_heard_it(broker: Broker) -> None:
    clock = Clock()
    for name in ("command-rights", "config-rights"):
        await broker.jetstream.add_consumer(
            ROOM_EVENTS,
            broker._layout._configs.durable_config(CONSUMERS[name], ""),  # as enrolment does
        )
    erasure = BrokerErasure(broker, ROOM_EVENTS, readers_of(ROOM_EVENTS), clock, piece_seconds=60)
    await tell(broker, GRANT_REVOKED_SUBJECT, message("user-9"), message(WHO))
    heard = {
        name: await broker.client.subscribe(f"deliver.{name}", queue=name if CONSUMERS[name].shared else "")
        for name in ("command-rights", "config-rights")
    }
    clock.at += SETTLED_SECONDS
    deliveries = {name: [await each.next_msg(30) for _ in range(2)] for name, each in heard.items()}
    for each in deliveries["command-rights"]:
        await each.ack_sync()
    assert await erasure.erase("er-1", WHO) == MESSAGES_KEPT
    assert await left(broker, ROOM_EVENTS) == 2
    for each in deliveries["config-rights"]:
        await each.ack_sync()
    clock.at += SETTLED_SECONDS
    assert await erasure.erase("er-1", WHO) == ""
    assert await left(broker, ROOM_EVENTS) == 1


async def test_a_consumer_of_many_subjects_is_heard_of_too(broker: Broker) -> None:
    clock = Clock()
    erasure = BrokerErasure(broker, DOOR_UPDATES, readers_of(DOOR_UPDATES), clock)
    await tell(broker, UPDATES, message(WHO))
    await erasure.erase("er-1", WHO)
    clock.at += SETTLED_SECONDS
    assert await erasure.erase("er-1", WHO) == MESSAGES_KEPT  # the notification service has not heard it
    assert await left(broker, DOOR_UPDATES) == 1


async def test_a_consumer_that_is_not_there_yet_will_hear_it(broker: Broker) -> None:
    clock = Clock()
    erasure = BrokerErasure(broker, ROOM_EVENTS, readers_of(ROOM_EVENTS), clock)
    await tell(broker, STATUS_CHECKS_SUBJECT, message(WHO))
    await erasure.erase("er-1", WHO)
    clock.at += SETTLED_SECONDS
    assert await erasure.erase("er-1", WHO) == MESSAGES_KEPT
    assert await left(broker, ROOM_EVENTS) == 1


async def test_a_broker_that_is_away_is_asked_again(nats_server: NatsServer, broker: Broker) -> None:
    clock = Clock()
    erasure = BrokerErasure(broker, DOOR_UPDATES, {}, clock)
    await tell(broker, UPDATES, message(WHO))
    with nats_server.hanging():
        assert await erasure.erase("er-1", WHO) == MESSAGES_KEPT
    clock.at += SETTLED_SECONDS
    for _ in range(30):  # what it was asked while it hung may come first
        if await erasure.erase("er-1", WHO) == "":
            break
    assert await left(broker, DOOR_UPDATES) == 0


async def test_a_call_reads_for_a_while_and_the_next_goes_on(broker: Broker) -> None:
    clock = Clock()
    erasure = BrokerErasure(broker, DOOR_UPDATES, {}, clock, settled_seconds=0, piece_seconds=-1)
    await tell(broker, UPDATES, *(message("user-9", f"e-{number}") for number in range(300)), message(WHO))
    assert await erasure.erase("er-1", WHO) == MESSAGES_KEPT
    assert await left(broker, DOOR_UPDATES) == 301
    assert await erasure.erase("er-1", WHO) == ""
    assert await left(broker, DOOR_UPDATES) == 300


def test_of_each_subject_that_services_hear_it_is_known_which() -> None:
    assert readers_of(ROOM_EVENTS)[GRANT_REVOKED_SUBJECT] == ["command-rights", "config-rights"]
