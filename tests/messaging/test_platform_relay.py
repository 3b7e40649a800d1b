"""An outbox emptied into a real nats-server that dies and forgets."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import MetaData, func, select

from protocol.streams import STREAMS, VEHICLE_COMMANDS
from protocol.subjects import CommandKind, command_subject
from services.platform import jetstream
from services.platform.database import Database, open_database
from services.platform.outbox import Outbox, OutboxRelay, OutgoingMessage
from services.telematics.broker import connect_broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from services.platform.jetstream import Broker
    from tests.messaging.conftest import NatsServer

METADATA = MetaData()
OUTBOX = Outbox(METADATA)
SUBJECT = command_subject("KMHSH81C7LU123456", CommandKind.DOOR)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await open_database(f"sqlite:///{tmp_path}/room.sqlite3")
    await opened.write(METADATA.create_all)
    yield opened
    await opened.close()


@pytest.fixture
async def broker(nats_server: NatsServer) -> AsyncIterator[Broker]:
    connected = await connect_broker(nats_server.settings(), name="room")
    await connected.ensure_streams(STREAMS[VEHICLE_COMMANDS])
    yield connected
    await connected.client.close()


async def commit(
    database: Database, ids: Sequence[str], ttl_seconds: int | None = 60
) -> list[OutgoingMessage]:
    messages = [
        OutgoingMessage(each, "vehicle", SUBJECT, each.encode(), datetime.now(UTC), ttl_seconds)
        for each in ids
    ]
    await database.write(lambda connection: OUTBOX.add(connection, messages))
    return messages


async def until_all_marked(database: Database) -> None:
    query = select(func.count()).select_from(OUTBOX.table).where(OUTBOX.table.c.sent_at.is_(None))
    async with asyncio.timeout(60):
        while await database.read(lambda connection: connection.execute(query).scalar_one()):  # noqa: ASYNC110  # a database has no event to wait for
            await asyncio.sleep(0.02)


async def kept(broker: Broker) -> list[str]:
    """What lies in the stream, oldest first."""
    info = await broker.jetstream.stream_info(VEHICLE_COMMANDS)
    found = []
    for sequence in range(info.state.first_seq, info.state.last_seq + 1):
        message = await broker.jetstream.get_msg(VEHICLE_COMMANDS, sequence)
        found.append((message.data or b"").decode())
    return found


def relay_of(database: Database, broker: Broker) -> OutboxRelay:
    return OutboxRelay(
        database,
        OUTBOX,
        "vehicle",
        broker.publish_all,
        lambda: datetime.now(UTC),
        ready=lambda: broker.connected,
    )


async def stop(running: asyncio.Task[None]) -> None:
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_killed_broker_gets_everything_once_and_in_order(
    database: Database, broker: Broker, nats_server: NatsServer
) -> None:
    relay = relay_of(database, broker)
    running = asyncio.create_task(relay.run())
    first = [f"m-{n}" for n in range(100)]
    relay.hand_over(await commit(database, first))
    nats_server.kill()
    second = [f"m-{n}" for n in range(100, 200)]
    relay.hand_over(await commit(database, second))
    nats_server.start()
    await until_all_marked(database)
    assert await kept(broker) == first + second
    await stop(running)


async def test_a_repeat_under_the_same_id_is_kept_once(database: Database, broker: Broker) -> None:
    messages = await commit(database, ["a", "b"])
    assert await broker.publish_all(messages) == [True, True]  # and then the process died, unmarked
    running = asyncio.create_task(relay_of(database, broker).run())
    await until_all_marked(database)
    assert await kept(broker) == ["a", "b"]
    await stop(running)


async def test_a_wiped_broker_gets_what_was_not_confirmed(
    database: Database, broker: Broker, nats_server: NatsServer
) -> None:
    relay = relay_of(database, broker)
    running = asyncio.create_task(relay.run())
    nats_server.kill()
    relay.hand_over(await commit(database, ["a", "b"]))
    nats_server.wipe()
    await until_all_marked(database)
    assert await kept(broker) == ["a", "b"]
    await stop(running)


async def test_a_time_to_live_reaches_the_broker(database: Database, broker: Broker) -> None:
    relay = relay_of(database, broker)
    running = asyncio.create_task(relay.run())
    relay.hand_over(await commit(database, ["short"], ttl_seconds=1))
    await until_all_marked(database)
    async with asyncio.timeout(60):
        while (await broker.jetstream.stream_info(VEHICLE_COMMANDS)).state.messages:  # noqa: ASYNC110  # nor has a stream
            await asyncio.sleep(0.05)
    await stop(running)


async def test_a_message_that_no_stream_takes_is_not_confirmed_and_harms_no_other(broker: Broker) -> None:
    now = datetime.now(UTC)
    messages = [
        OutgoingMessage("a", "vehicle", "nobody.listens", b"", now),
        OutgoingMessage("c", "vehicle", SUBJECT, b"", now),
    ]
    assert await broker.publish_all(messages) == [False, True]
    with pytest.raises(jetstream.MessageTooLargeError):
        await broker.publish_all([too_large("b")])


def too_large(message_id: str) -> OutgoingMessage:
    return OutgoingMessage(message_id, "vehicle", SUBJECT, b"x" * (2 * 1024 * 1024), datetime.now(UTC))


async def test_a_message_that_the_broker_never_takes_is_set_aside_and_the_others_leave(
    database: Database, broker: Broker
) -> None:
    aside: list[tuple[str, str]] = []

    async def set_aside(message: OutgoingMessage, reason: str) -> None:
        aside.append((message.message_id, reason))

    def now() -> datetime:
        return datetime.now(UTC)

    relay = OutboxRelay(database, OUTBOX, "vehicle", broker.publish_all, now, set_aside=set_aside)
    running = asyncio.create_task(relay.run())
    large = too_large("large")
    await database.write(lambda connection: OUTBOX.add(connection, [large]))
    relay.hand_over([large, *await commit(database, ["a", "b"])])
    await until_all_marked(database)
    assert await kept(broker) == ["a", "b"]
    [(message_id, reason)] = aside
    assert message_id == "large"
    assert "MessageTooLargeError: 2097152 bytes" in reason
    await stop(running)
