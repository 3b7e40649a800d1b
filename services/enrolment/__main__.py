"""Wires the enrolment service and runs it: `python -m services.enrolment`."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import structlog
from pydantic import Field, FilePath  # pydantic reads the annotation when it runs

from protocol.consumers import CONSUMERS
from protocol.streams import MQTT_OWN_STREAMS, STREAMS
from services.enrolment.adapters import seed, store, translate
from services.enrolment.adapters.certificates import CertificateCheck
from services.enrolment.adapters.changes import BrokerKeyChanges
from services.enrolment.adapters.connection_bound import ConnectionBound
from services.enrolment.adapters.connections import BrokerConnections
from services.enrolment.adapters.flood_watch import FloodWatch
from services.enrolment.adapters.kept import kept_tables
from services.enrolment.adapters.nats_jwt import Issuer
from services.enrolment.adapters.reply_guard import ReplyGuard
from services.enrolment.adapters.server import POLICY, SERVICE, VehicleKeysServer, enrolment_api
from services.enrolment.adapters.takeovers import NewestConnection
from services.enrolment.adapters.traffic import BrokerTraffic
from services.enrolment.adapters.translate import refusal_of
from services.enrolment.adapters.vehicle_link import AuthCalloutResponder
from services.enrolment.domain import MessageRates
from services.enrolment.usecases import EnrolmentDependencies
from services.platform import boot
from services.platform.audit_delivery import AuditDelivery
from services.platform.capability import CapabilityVerifier
from services.platform.clock import CLOCK
from services.platform.database import open_database
from services.platform.database_watch import DatabaseWatch
from services.platform.health import Health
from services.platform.migration import migrate
from services.platform.server import GrpcServer
from services.platform.settings import ServiceSettings
from services.platform.subject_data_api import OwnData
from services.telematics.broker import connect_broker

NAME = "enrolment"


class EnrolmentSettings(ServiceSettings):
    """What this service needs besides: the CA (PEM, or more than one) of vehicles, the secret prefix of the broker's
    stores, the seed that signs admissions; and how much a vehicle may send in the mean before its connections are
    ended.
    """

    vehicle_ca: FilePath
    store_prefix_file: FilePath
    admission_seed_file: FilePath
    enrolment_seed: FilePath | None = None
    vehicle_messages_per_second: int = Field(default=250, ge=10, le=100_000)
    vehicle_bytes_per_second: int = Field(default=1 << 20, ge=1 << 16, le=1 << 30)


async def main(settings: EnrolmentSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    vehicle_cas = translate.read_cas(settings.vehicle_ca.read_bytes())
    certificates = CertificateCheck.read(settings.vehicle_ca.read_bytes(), CLOCK.now)
    issuer = Issuer(settings.admission_seed_file.read_text(encoding="utf-8").strip())
    seed_vehicles = seed.read(settings.enrolment_seed, certificates) if settings.enrolment_seed else []
    migrations = Path(__file__).with_name("migrations")
    await asyncio.to_thread(
        migrate, settings.database_url, migrations, store.HEAD, store.EnrolmentModel.metadata
    )
    database = await open_database(settings.database_url)
    planted = await database.write(partial(seed.plant, seed_vehicles=seed_vehicles, at=CLOCK.now()))
    health = Health()
    prefix = settings.store_prefix_file.read_text(encoding="utf-8").strip()
    broker = await connect_broker(settings, f"service-{NAME}", health, prefix)
    audit = AuditDelivery(settings, NAME, database, store.audit_outbox, refused_kind="ENROLMENT_REFUSED")
    record, changes = store.SqlEnrolmentRecord(audit.database), BrokerKeyChanges(broker)
    deps = EnrolmentDependencies(record, BrokerConnections(broker.client), changes, CLOCK.now)
    await broker.ensure_streams(*STREAMS.values())
    for consumer in CONSUMERS.values():
        await broker.ensure_consumer(consumer)
    await broker.scale_streams(*MQTT_OWN_STREAMS)
    await changes.publish(*planted)
    newest, bound = NewestConnection(broker.client, CLOCK.now), ConnectionBound(deps.connections)
    await newest.start()
    await AuthCalloutResponder(deps, issuer, broker, vehicle_cas, bound, newest).start()
    traffic = BrokerTraffic(broker.client)
    guard = ReplyGuard(deps, settings, traffic)
    await guard.start()
    rates = MessageRates(settings.vehicle_messages_per_second, settings.vehicle_bytes_per_second)
    floods = FloodWatch(deps, traffic, rates)
    verifier = CapabilityVerifier(settings.capability_jwks)
    own_data = OwnData(
        database,
        settings.database_url,
        kept_tables(),
        store.holds,
        CLOCK.now,
        audit_outbox=store.audit_outbox,
    )
    rpc = GrpcServer(
        settings,
        [SERVICE],
        VehicleKeysServer(record).register,
        POLICY,
        verifier,
        refusal_of,
        audit=audit.hook,
        besides=[enrolment_api(deps, certificates), *own_data.apis],
        health=health,
    )
    await rpc.start()
    structlog.get_logger().info("started", listen=settings.listen)
    try:
        await boot.run_until(
            stop,
            rpc.keep_health(),
            broker.watch(),
            guard.watch(),
            floods.run(),
            own_data.retention.run(),
            audit.run(),
            DatabaseWatch(database, health, settings.health_patience_seconds).run(),
        )
    finally:
        await rpc.stop()
        await audit.close()
        await guard.close()
        await broker.close()
        await database.close()


def cli() -> None:
    """Run the process."""
    boot.run(NAME, EnrolmentSettings, main)


if __name__ == "__main__":
    cli()
