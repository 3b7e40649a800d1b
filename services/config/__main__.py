"""Wires the config service and runs it: `python -m services.config`."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from pathlib import Path

from pydantic import Field, FilePath

from key_files.pem import read_open_keys
from protocol.cloud_side import AnswerReader
from protocol.streams import ROOM_EVENTS, STREAMS, VEHICLE_COMMANDS, VEHICLE_EVENTS, VEHICLE_MQTT_EVENTS
from services.config.adapters import dispatch, right_link, server, store, translate, vehicle_link
from services.config.adapters.kept import kept_tables
from services.platform import boot
from services.platform.audit_delivery import AuditDelivery
from services.platform.background import regularly
from services.platform.capability import CapabilityVerifier
from services.platform.channel import open_channel, watch_channel
from services.platform.clock import CLOCK
from services.platform.database import open_database
from services.platform.database_watch import DatabaseWatch
from services.platform.dead_letter_api import dead_letter_api
from services.platform.dead_letter_keeper import DeadLetterKeeper, DeadLetterWriter
from services.platform.dead_letter_replay import DeadLetterReplay
from services.platform.health import Health
from services.platform.migration import migrate
from services.platform.outbox import OutboxRelay
from services.platform.server import GrpcServer
from services.platform.settings import Target  # noqa: TC001  # pydantic reads the annotations
from services.platform.subject_data_api import OwnData
from services.platform.subscriptions import Subscription, consumers
from services.telematics import rules as vehicle_rules
from services.telematics.broker import connect_broker
from services.telematics.keys import VehicleKeyDirectory
from services.telematics.links import over_each_link
from services.telematics.order_mac import OrderMac
from services.telematics.order_signer import OrderSigningClient
from services.telematics.settings import VehicleServiceSettings
from services.vehicle_models.catalogue import REREAD_SECONDS, ModelsFolder, VehicleModels

NAME = "config"


class ConfigSettings(VehicleServiceSettings):
    """What this service needs besides."""

    vehicle_keys_target: Target
    signer_target: Target
    cloud_seal_keys: FilePath
    order_mac_key: FilePath
    audit_retention_days: int = Field(default=1_095, ge=1, le=3_650)
    vehicle_models: ModelsFolder | None = None


async def main(settings: ConfigSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    migrations = Path(__file__).with_name("migrations")
    open_keys = read_open_keys(settings.cloud_seal_keys)
    mac = OrderMac.read(settings.order_mac_key)
    await asyncio.to_thread(
        migrate, settings.database_url, migrations, store.HEAD, store.ConfigModel.metadata
    )
    database = await open_database(settings.database_url)
    health = Health()
    dead_letter_writer = DeadLetterWriter(database, store.dead_letters, CLOCK.now, settings.letter_limits)
    broker = await connect_broker(settings, f"service-{NAME}", health)
    await broker.ensure_streams(
        *(STREAMS[name] for name in (VEHICLE_EVENTS, VEHICLE_MQTT_EVENTS, VEHICLE_COMMANDS, ROOM_EVENTS))
    )
    to_signer = open_channel(settings, settings.signer_target, "signer")
    signer_answers = health.condition("signer", patience_seconds=settings.health_patience_seconds)
    to_enrolment = open_channel(settings, settings.vehicle_keys_target, "enrolment")
    keys = VehicleKeyDirectory(to_enrolment, CLOCK.monotonic)
    await keys.listen(broker)
    signer = OrderSigningClient(to_signer)
    dispatcher = dispatch.ConfigDispatcher(broker, store.OrderStore(database), signer, keys, CLOCK.now)
    relay = OutboxRelay(
        database,
        store.outbox,
        dispatch.QUEUE,
        dispatcher.send,
        CLOCK.now,
        ready=lambda: broker.connected,
        set_aside=dead_letter_writer.set_aside,
    )
    to_services = OutboxRelay(
        database,
        store.outbox,
        dispatch.TO_SERVICES,
        broker.publish_all,
        CLOCK.now,
        set_aside=dead_letter_writer.set_aside,
    )
    audit = AuditDelivery(settings, NAME, database, store.audit_outbox, refused_kind="CONFIG_REFUSED")
    record = store.ConfigStore(
        audit.database, relay, dispatch.outgoing, partial(translate.stamp, mac), translate.weakened
    )

    models = VehicleModels(settings.vehicle_models)
    reader = AnswerReader(open_keys, keys, vehicle_rules.check)
    events = vehicle_link.ConfigEventHandler(record, reader, keys, CLOCK.now)
    settings_cancellations = store.SettingsCancellationStore(
        database, dispatch.cancelled, to_services.hand_over
    )
    rights = right_link.ConfigRevocationHandler(settings_cancellations, signer, CLOCK.now)
    subscriptions = [
        *over_each_link(vehicle_link.PLAN, events.handle),
        Subscription(right_link.ENDED, rights.handle),
    ]
    keeper = DeadLetterKeeper(database, store.dead_letters, subscriptions, CLOCK.now)
    letters = dead_letter_api(DeadLetterReplay(audit.database, store.dead_letters, subscriptions, CLOCK.now))
    own_data = OwnData(
        audit.database,
        settings.database_url,
        kept_tables(settings.letter_limits.keep, timedelta(days=settings.audit_retention_days)),
        store.holds,
        CLOCK.now,
        outbox=store.outbox,
        audit_outbox=store.audit_outbox,
        in_the_way=store.in_the_way_of_erasure,
        besides=store.erase_proofs,
    )
    rpc = GrpcServer(
        settings,
        [server.SERVICE],
        server.DoorConfigServicer(record, CLOCK.now, models).register,
        server.POLICY,
        CapabilityVerifier(settings.capability_jwks, service=NAME),
        translate.refusal_of,
        audit=audit.hook,
        besides=[letters, *own_data.apis],
        health=health,
    )
    await rpc.start()
    try:
        taking = [
            each.run()
            for each in consumers(broker, subscriptions, dead_letter_writer.dead_letter, settings.senders)
        ]
        await boot.run_until(
            stop,
            rpc.keep_health(),
            broker.watch(),
            DatabaseWatch(database, health, settings.health_patience_seconds).run(),
            watch_channel(to_signer, signer_answers),
            relay.run(),
            to_services.run(),
            keeper.run(),
            own_data.retention.run(),
            audit.run(),
            regularly("reread_vehicle_models", REREAD_SECONDS, models.refresh),
            *taking,
        )
    finally:
        await rpc.stop()
        await audit.close()
        await to_signer.close()
        await to_enrolment.close()
        await broker.close()
        await database.close()


def cli() -> None:
    """Run the process."""
    boot.run(NAME, ConfigSettings, main)


if __name__ == "__main__":
    cli()
