"""Wires the diagnostics service and runs it: `python -m services.diagnostics`."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from pathlib import Path

from pydantic import Field

from key_files.pem import read_open_keys
from protocol.cloud_side import AnswerReader
from protocol.domains import Domain
from protocol.streams import DOOR_UPDATES, STREAMS, VEHICLE_EVENTS, VEHICLE_MQTT_EVENTS
from services.diagnostics import usecases
from services.diagnostics.adapters import server, store, translate, vehicle_link
from services.diagnostics.adapters.check_requests import CheckSchedule
from services.diagnostics.adapters.kept import kept_tables
from services.diagnostics.adapters.vehicle_checks import VehicleCheckClient, nobody_asks
from services.platform import boot
from services.platform.audit_delivery import AuditDelivery
from services.platform.background import regularly
from services.platform.capability import CapabilityVerifier
from services.platform.channel import open_channel
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
from services.platform.subscriptions import consumers
from services.telematics import rules as vehicle_rules
from services.telematics.broker import connect_broker
from services.telematics.keys import VehicleKeyDirectory
from services.telematics.links import over_each_link
from services.telematics.refusal_hints import HINT_SECONDS, RefusalHints
from services.telematics.refused_reports import RefusedReports
from services.telematics.reports import HelloIntake, ReportReader, ReportSettings

NAME = "diagnostics"
_DUE_SECONDS = 5.0
_CHECK_SECONDS = 5.0


class DiagnosticsSettings(ReportSettings):
    """What this service needs besides."""

    alert_damping_seconds: int = Field(default=600, ge=1, le=86_400)
    health_trend_days: int = Field(default=400, ge=30, le=3_650)
    command_target: Target | None = None
    self_check_days: int = Field(default=30, ge=0, le=365)
    self_checks_per_minute: int = Field(default=60, ge=1, le=6_000)

    @property
    def self_check_interval(self) -> timedelta | None:
        """How often a vehicle is asked to check itself; None where nobody asks."""
        asks = self.command_target is not None and self.self_check_days > 0
        return timedelta(days=self.self_check_days) if asks else None

    @property
    def self_checks_at_once(self) -> int:
        """How many vehicles are asked at a time."""
        return max(1, round(self.self_checks_per_minute * _CHECK_SECONDS / 60))


async def main(settings: DiagnosticsSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    migrations = Path(__file__).with_name("migrations")
    await asyncio.to_thread(
        migrate, settings.database_url, migrations, store.HEAD, store.DiagnosticsModel.metadata
    )
    database = await open_database(settings.database_url)
    health = Health()
    dead_letter_writer = DeadLetterWriter(database, store.dead_letters, CLOCK.now, settings.letter_limits)
    broker = await connect_broker(settings, f"service-{NAME}", health)
    await broker.ensure_streams(
        *(STREAMS[name] for name in (VEHICLE_EVENTS, VEHICLE_MQTT_EVENTS, DOOR_UPDATES))
    )
    relay = OutboxRelay(
        database,
        store.outbox,
        vehicle_link.QUEUE,
        broker.publish_all,
        CLOCK.now,
        set_aside=dead_letter_writer.set_aside,
    )
    damping = timedelta(seconds=settings.alert_damping_seconds)
    trend_kept = timedelta(days=settings.health_trend_days)
    record = store.DiagnosisStore(
        database, relay, vehicle_link.outgoing, CLOCK.now, damping=damping, trend_kept=trend_kept
    )
    channel = open_channel(settings, settings.vehicle_keys_target, "enrolment")
    to_command = (
        open_channel(settings, settings.command_target, "command") if settings.command_target else None
    )
    check_deps = usecases.CheckDependencies(
        CheckSchedule(database, store.check_requests, store.last_checks, settings.self_check_interval),
        VehicleCheckClient(to_command).ask if to_command else nobody_asks,
        CLOCK.now,
    )
    directory = VehicleKeyDirectory(channel, CLOCK.monotonic)
    report_keys = read_open_keys(settings.cloud_report_keys)
    reports = ReportReader(
        Domain.DIAGNOSTICS, report_keys, database, store.sessions, directory, settings.report_keys_kept
    )
    await directory.listen(broker, reports)
    answers = AnswerReader(read_open_keys(settings.cloud_seal_keys), directory, vehicle_rules.check)
    hellos = HelloIntake(answers, directory, database, store.sessions, CLOCK.milliseconds, reports.invalidate)
    checks = vehicle_link.VehicleReports(record, reports, CLOCK.now)
    subscriptions = [
        *over_each_link(vehicle_link.PLAN, checks.handle),
        *over_each_link(vehicle_link.HELLO_PLAN, hellos.handle),
    ]
    keeper = DeadLetterKeeper(database, store.dead_letters, subscriptions, CLOCK.now)
    audit = AuditDelivery(settings, NAME, database, store.audit_outbox, refused_kind="OPERATION_REFUSED")
    letters = dead_letter_api(DeadLetterReplay(audit.database, store.dead_letters, subscriptions, CLOCK.now))
    own_data = OwnData(
        audit.database,
        settings.database_url,
        kept_tables(settings.letter_limits.keep, trend_kept),
        store.holds,
        CLOCK.now,
        outbox=store.outbox,
        audit_outbox=store.audit_outbox,
    )
    rpc = GrpcServer(
        settings,
        [server.SERVICE],
        server.DoorDiagnosticsServicer(record, check_deps).register,
        server.POLICY,
        CapabilityVerifier(settings.capability_jwks, service=NAME),
        translate.refusal_of,
        audit=audit.hook,
        besides=[letters, *own_data.apis],
        health=health,
    )
    dead_letter = RefusedReports(HINT_SECONDS, RefusalHints(broker).publish).after(
        dead_letter_writer.dead_letter
    )
    await rpc.start()
    try:
        taking = (
            consumer.run() for consumer in consumers(broker, subscriptions, dead_letter, settings.senders)
        )
        await boot.run_until(
            stop,
            rpc.keep_health(),
            broker.watch(),
            DatabaseWatch(database, health, settings.health_patience_seconds).run(),
            relay.run(),
            keeper.run(),
            own_data.retention.run(),
            audit.run(),
            regularly("tell_due_alerts", _DUE_SECONDS, record.tell_due),
            regularly(
                "self_checks",
                _CHECK_SECONDS,
                partial(usecases.run_schedule, check_deps, settings.self_checks_at_once),
            ),
            *taking,
        )
    finally:
        await rpc.stop()
        await audit.close()
        await broker.close()
        await channel.close()
        if to_command is not None:
            await to_command.close()
        await database.close()


def cli() -> None:
    """Run the process."""
    boot.run(NAME, DiagnosticsSettings, main)


if __name__ == "__main__":
    cli()
