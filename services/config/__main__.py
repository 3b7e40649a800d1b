"""Wires the config room and runs it: `python -m services.config`."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from pydantic import Field, FilePath

from protocol.broker import ROOM_EVENTS, STREAMS, VEHICLE_COMMANDS, VEHICLE_EVENTS
from protocol.cloud_side import AnswerReader
from protocol.key_files import read_open_keys
from services.config import dispatch, right_link, server, store, translate, usecases, vehicle_link
from services.runtime import boot, jetstream
from services.runtime.capability import CapabilityVerifier
from services.runtime.channel import open_channel
from services.runtime.database import StorageUnavailable, open_database
from services.runtime.dead_letter_api import dead_letter_api
from services.runtime.dead_letter_replay import DeadLetterReplay
from services.runtime.migration import migrate
from services.runtime.order_mac import OrderMac
from services.runtime.order_signer import OrderSigner
from services.runtime.outbox import OutboxRelay
from services.runtime.settings import RoomSettings
from services.runtime.subscriptions import Subscription, consumers
from services.runtime.vehicle_keys import VehicleKeyDirectory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.runtime.consumer import Poison

ROOM = "config"
FORGET_SECONDS = 600.0


class ConfigSettings(RoomSettings):
    """What this room needs besides."""

    vehicle_keys_target: str = Field(pattern=r"^[^:]+:\d{1,5}$")
    signer_target: str = Field(pattern=r"^[^:]+:\d{1,5}$")
    cloud_seal_keys: FilePath
    order_mac_key: FilePath


def now() -> datetime:
    """The time of day, UTC."""
    return datetime.now(UTC)


async def main(settings: ConfigSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    migrations = Path(__file__).with_name("migrations")
    open_keys = read_open_keys(settings.cloud_seal_keys)
    mac = OrderMac.read(settings.order_mac_key)
    await asyncio.to_thread(migrate, settings.database_url, migrations, store.HEAD, store.RoomModel.metadata)
    database = await open_database(settings.database_url)
    broker = await jetstream.connect(settings, name=f"room-{ROOM}")
    await broker.ensure_streams(*(STREAMS[name] for name in (VEHICLE_EVENTS, VEHICLE_COMMANDS, ROOM_EVENTS)))
    to_signer = open_channel(settings, settings.signer_target, "signer")
    to_enrolment = open_channel(settings, settings.vehicle_keys_target, "enrolment")
    keys = VehicleKeyDirectory(to_enrolment, time.monotonic)
    await keys.listen(broker)
    signer = OrderSigner(to_signer)
    dispatcher = dispatch.Dispatcher(broker, store.OrderStore(database), signer, keys, now)
    relay = OutboxRelay(
        database, store.outbox, dispatch.QUEUE, dispatcher.send, now, ready=lambda: broker.connected
    )
    to_rooms = OutboxRelay(database, store.outbox, dispatch.TO_ROOMS, broker.publish_all, now)
    record = store.ConfigStore(database, relay, dispatch.outgoing, partial(translate.stamp, mac))

    async def bury(poison: Sequence[Poison]) -> None:
        await record.bury(poison, now())

    events = vehicle_link.VehicleEvents(record, AnswerReader(open_keys, keys), keys, now)
    withdrawals = store.WithdrawalStore(database, dispatch.withdrawn, to_rooms.hand_over)
    rights = right_link.EndedRights(withdrawals, signer, now)
    subscriptions = [
        Subscription(vehicle_link.PLAN, events.handle),
        Subscription(right_link.ENDED, rights.handle),
    ]
    letters = dead_letter_api(DeadLetterReplay(database, store.dead_letters, subscriptions, now))
    rpc = server.build(
        settings, CapabilityVerifier(settings.capability_jwks, service=ROOM), record, now, [letters]
    )
    await rpc.start()
    try:
        taking = (consumer.run() for consumer in consumers(broker, subscriptions, bury))
        await boot.run_until(stop, relay.run(), to_rooms.run(), _forget_regularly(record), *taking)
    finally:
        await rpc.stop()
        await to_signer.close()
        await to_enrolment.close()
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
    boot.run(ROOM, ConfigSettings, main)


if __name__ == "__main__":
    cli()
