"""What people are told of, from a real broker: redelivery, a crash before the acknowledgement, what is no update."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.access.v1 import grant_pb2
from ecarus.remotecontrol.door.v1 import door_command_pb2, door_update_pb2
from sqlalchemy import func, select

from protocol.streams import DOOR_UPDATES, ROOM_EVENTS, STREAMS
from protocol.subjects import ACCESS_CHANGED_SUBJECT, kept_update_subject
from services.notification.adapters import store
from services.notification.adapters.store.tables import notices
from services.notification.adapters.update_link import AccessChangeHandler, subscriptions
from services.notification.domain.preferences import IgnoredPlace, Preferences
from services.platform.dead_letter_keeper import DeadLetterWriter
from services.platform.subscriptions import consumers
from services.telematics.broker import connect_broker
from tests.support.notification_harness import (
    OWNER,
    SHARER,
    VIN,
    NotificationHarness,
    notification_harness,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from services.platform.consumer import Delivery
    from services.platform.jetstream import Broker


class LinkedHarness:
    """A NotificationHarness that reads from a broker."""

    def __init__(
        self, house: NotificationHarness, broker: Broker, connect: Callable[[], Awaitable[Broker]]
    ) -> None:
        self.house = house
        self.broker = broker
        self._connect = connect
        self._own: Broker | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, before_ack: Callable[[], Awaitable[None]] | None = None) -> None:
        """Consume; `before_ack` happens after each commit, before its messages are acknowledged."""
        self._own = await self._connect()
        writer = DeadLetterWriter(self.house.database, store.dead_letters, self.house.clock.now)
        taken = subscriptions(
            self.house.handler, AccessChangeHandler(self.house.notices, self.house.clock.now)
        )
        if before_ack is not None:
            handle = self.house.handler.handle

            async def and_then(deliveries: Sequence[Delivery]) -> Any:
                done = await handle(deliveries)
                await before_ack()
                return done

            self.house.handler.handle = and_then  # type: ignore[method-assign]
            taken = subscriptions(
                self.house.handler, AccessChangeHandler(self.house.notices, self.house.clock.now)
            )
        self._tasks = [
            asyncio.create_task(each.run()) for each in consumers(self._own, taken, writer.dead_letter)
        ]

    async def crash(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._own is not None:
            await self._own.client.close()
        self.house.restart()

    async def publish(
        self, data: bytes, message_id: str = "", origin: str = "command", vin: str = VIN
    ) -> None:
        headers = {"Nats-Msg-Id": message_id} if message_id else None
        await self.broker.jetstream.publish(kept_update_subject(origin, vin), data, headers=headers)

    async def command(self, command_id: str, vin: str = VIN) -> None:
        self.house.people.gave[command_id] = OWNER
        change = door_update_pb2.CommandStatusChange(
            command_id=command_id,
            action=door_command_pb2.CommandAction.Value.UNLOCK,
            status=door_command_pb2.CommandStatus.Value.SUCCESS,
        )
        update = door_update_pb2.DoorUpdate(
            type=door_update_pb2.DoorUpdateType.COMMAND_STATUS_UPDATE, vin=vin, command_status=change
        )
        await self.publish(update.SerializeToString(), f"{command_id}:SUCCESS", vin=vin)

    async def count(self, table: Any = notices) -> int:
        query = select(func.count()).select_from(table)
        return await self.house.database.read(lambda connection: connection.execute(query).scalar_one())

    async def until(self, what: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(60):
            while not await what():  # noqa: ASYNC110  # a database has no event
                await asyncio.sleep(0.02)


@pytest.fixture
async def linked(nats_server: Any, tmp_path: Path) -> AsyncIterator[LinkedHarness]:
    connect = partial(connect_broker, nats_server.settings(), "service-notification")
    broker = await connect()
    await broker.ensure_streams(STREAMS[DOOR_UPDATES], STREAMS[ROOM_EVENTS])
    async with notification_harness(f"sqlite:///{tmp_path}/notification.sqlite3") as house:
        house.clock.at = datetime.now(UTC) + timedelta(seconds=1)  # the broker's clock is a real one
        harness = LinkedHarness(house, broker, connect)
        await house.phone(OWNER, "phone")
        yield harness
        await harness.crash()
        await broker.close()


async def test_a_crash_before_the_acknowledgement_tells_it_once(linked: LinkedHarness) -> None:
    committed = asyncio.Event()

    async def hang() -> None:
        committed.set()
        await asyncio.Event().wait()

    await linked.run(before_ack=hang)
    await linked.command("cmd-1")
    async with asyncio.timeout(60):
        await committed.wait()
    await linked.house.settle()
    await linked.crash()

    await linked.run()
    await linked.command("cmd-2")  # comes again together with the first

    async def both() -> bool:
        info = await linked.broker.jetstream.consumer_info(DOOR_UPDATES, "notification-updates")
        return info.num_ack_pending == 0 and info.num_pending == 0 and await linked.count() == 2

    await linked.until(both)
    await linked.house.settle()
    assert [message.data["commandId"] for _, message in linked.house.fcm.shown] == ["cmd-1", "cmd-2"]


async def test_what_is_no_update_is_kept_aside_and_stops_nothing(linked: LinkedHarness) -> None:
    await linked.run()
    await linked.publish(b"\xff\xff\xff")
    await linked.command("cmd-1")

    async def arrived() -> bool:
        return await linked.count() == 1 and await linked.count(store.dead_letters.table) == 1

    await linked.until(arrived)
    await linked.house.settle()
    assert linked.house.fcm.titles("phone") == ["Unlocked"]


async def test_what_is_published_again_after_the_broker_lost_everything_is_told_once(
    linked: LinkedHarness,
) -> None:
    await linked.run()
    await linked.command("cmd-1")
    await linked.until(lambda: _is(linked, 1))
    await linked.house.settle()
    await linked.broker.jetstream.delete_stream(DOOR_UPDATES)
    await linked.crash()
    await linked.broker.ensure_streams(STREAMS[DOOR_UPDATES])
    await linked.run()
    await linked.command("cmd-1")
    await linked.command("cmd-2")
    await linked.until(lambda: _is(linked, 2))
    await linked.house.settle()
    assert [message.data["commandId"] for _, message in linked.house.fcm.shown] == ["cmd-1", "cmd-2"]


async def test_what_was_kept_goes_with_the_right(linked: LinkedHarness) -> None:
    places = Preferences(places=(IgnoredPlace("Home", VIN),))
    for person in (OWNER, SHARER):
        await linked.house.devices.set_preferences(person, places, linked.house.clock.now())
    await linked.run()
    changed = grant_pb2.AccessChanged(
        event_id="e-1",
        change=grant_pb2.AccessChange.ACCESS_CHANGE_SEVERED,
        vin=VIN,
        principal=SHARER,
    )
    await linked.broker.jetstream.publish(ACCESS_CHANGED_SUBJECT, b"\xff\xff")
    await linked.broker.jetstream.publish(ACCESS_CHANGED_SUBJECT, changed.SerializeToString())

    async def gone() -> bool:
        return not (await linked.house.devices.preferences(SHARER)).places

    await linked.until(gone)
    assert (await linked.house.devices.preferences(OWNER)).places


async def _is(linked: LinkedHarness, many: int) -> bool:
    return await linked.count() == many
