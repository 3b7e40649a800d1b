"""Wires the diagnostics room and runs it: `python -m services.diagnostics`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from protocol.broker import DOOR_UPDATES, STREAMS, VEHICLE_EVENTS
from services.diagnostics import server, store, vehicle_link
from services.runtime import boot, jetstream
from services.runtime.capability import CapabilityVerifier
from services.runtime.consumer import Consumer
from services.runtime.database import open_database
from services.runtime.dead_letter_desk import DeadLetterDesk
from services.runtime.migration import migrate
from services.runtime.outbox import OutboxRelay
from services.runtime.settings import RoomSettings

ROOM = "diagnostics"


def now() -> datetime:
    """The time of day, UTC."""
    return datetime.now(UTC)


async def main(settings: RoomSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    migrations = Path(__file__).with_name("migrations")
    await asyncio.to_thread(migrate, settings.database_url, migrations, store.HEAD)
    database = await open_database(settings.database_url)
    broker = await jetstream.connect(settings, name=f"room-{ROOM}")
    await broker.ensure_streams(STREAMS[VEHICLE_EVENTS], STREAMS[DOOR_UPDATES])
    relay = OutboxRelay(database, store.outbox, vehicle_link.QUEUE, broker.publish_all, now)
    record = store.DiagnosisStore(database, relay, vehicle_link.outgoing, now)
    handle = vehicle_link.VehicleReports(record, now).handle
    consumer = Consumer(broker, vehicle_link.PLAN, handle, record.bury)
    handlers = [(vehicle_link.PLAN.subjects, handle)]
    await DeadLetterDesk(ROOM, broker, database, store.dead_letters, handlers, now).open()
    rpc = server.build(settings, CapabilityVerifier(settings.capability_jwks), record)
    await rpc.start()
    try:
        await boot.run_until(stop, relay.run(), consumer.run())
    finally:
        await rpc.stop()
        await broker.close()
        await database.close()


def cli() -> None:
    """Run the process."""
    boot.run(ROOM, RoomSettings, main)


if __name__ == "__main__":
    cli()
