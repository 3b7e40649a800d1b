"""Wires the config room and runs it: `python -m services.config`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from protocol.broker import STREAMS, VEHICLE_COMMANDS, VEHICLE_EVENTS
from services.config import server, store, usecases, vehicle_link
from services.runtime import boot, jetstream
from services.runtime.capability import CapabilityVerifier
from services.runtime.consumer import Consumer
from services.runtime.database import StorageUnavailable, open_database
from services.runtime.dead_letter_desk import DeadLetterDesk
from services.runtime.migration import migrate
from services.runtime.outbox import OutboxRelay
from services.runtime.settings import RoomSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.runtime.consumer import Poison

ROOM = "config"
FORGET_SECONDS = 600.0


def now() -> datetime:
    """The time of day, UTC."""
    return datetime.now(UTC)


async def main(settings: RoomSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    migrations = Path(__file__).with_name("migrations")
    await asyncio.to_thread(migrate, settings.database_url, migrations, store.HEAD)
    database = await open_database(settings.database_url)
    broker = await jetstream.connect(settings, name=f"room-{ROOM}")
    await broker.ensure_streams(STREAMS[VEHICLE_EVENTS], STREAMS[VEHICLE_COMMANDS])
    relay = OutboxRelay(database, store.outbox, vehicle_link.QUEUE, broker.publish_all, now)
    record = store.ConfigStore(database, relay, vehicle_link.outgoing)

    async def bury(poison: Sequence[Poison]) -> None:
        await record.bury(poison, now())

    handle = vehicle_link.VehicleEvents(record, now).handle
    consumer = Consumer(broker, vehicle_link.PLAN, handle, bury)
    handlers = [(vehicle_link.PLAN.subjects, handle)]
    await DeadLetterDesk(ROOM, broker, database, store.dead_letters, handlers, now).open()
    rpc = server.build(settings, CapabilityVerifier(settings.capability_jwks), record, now)
    await rpc.start()
    try:
        await boot.run_until(stop, relay.run(), consumer.run(), _forget_regularly(record))
    finally:
        await rpc.stop()
        await broker.close()
        await database.close()


async def _forget_regularly(record: store.ConfigStore) -> None:
    while True:
        try:
            await usecases.forget_old(record, now)
        except StorageUnavailable as error:
            structlog.get_logger().warning("forgetting_put_off", reason=str(error))
        await asyncio.sleep(FORGET_SECONDS)


def cli() -> None:
    """Run the process."""
    boot.run(ROOM, RoomSettings, main)


if __name__ == "__main__":
    cli()
