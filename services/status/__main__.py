"""Wiring of the status service."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, FilePath

from key_files.pem import read_open_keys
from protocol.cloud_side import AnswerReader
from protocol.domains import Domain
from protocol.streams import (
    DOOR_UPDATES,
    ROOM_EVENTS,
    STREAMS,
    VEHICLE_EVENTS,
    VEHICLE_MQTT_EVENTS,
    status_stream,
)
from protocol.subjects import GRANT_REVOKED_SUBJECT, KEPT_UPDATES, STATUS_PARTITIONS
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
from services.status.adapters import store, translate
from services.status.adapters.confirmation_sweeper import ConfirmationSweeper
from services.status.adapters.event_ids import EventIds
from services.status.adapters.kept import kept_tables
from services.status.adapters.model_limits import ModelLimits
from services.status.adapters.refusals import refusal_of
from services.status.adapters.revocations import Revocations
from services.status.adapters.server import POLICY, SERVICE, DoorStatusServer
from services.status.adapters.status_read_log import StatusReadLog
from services.status.adapters.update_budget import BudgetedMessages
from services.status.adapters.update_feed import JetStreamLog, StreamTail
from services.status.adapters.vehicle_link import (
    AdvisoryPublisher,
    ShownResultsPublisher,
    VehicleIntake,
    listen_for_losses,
    publish_update,
)
from services.status.adapters.wake_up_link import CommandWakeUps
from services.status.adapters.watch_server import DoorWatchServer
from services.status.domain.event_stream import HEARTBEAT_SECONDS
from services.status.domain.rights import LONGEST_CAPABILITY_SECONDS
from services.status.usecases.advisories import AdvisoryFilter
from services.status.usecases.hub import Hub
from services.status.usecases.presence import LostVehicles, Reachability
from services.status.usecases.streams import Streams
from services.telematics import rules as vehicle_rules
from services.telematics.broker import connect_broker
from services.telematics.keys import VehicleKeyDirectory
from services.telematics.refusal_hints import HINT_SECONDS, RefusalHints
from services.telematics.refused_reports import RefusedReports
from services.telematics.reports import HelloIntake, ReportReader, ReportSettings
from services.vehicle_models.catalogue import REREAD_SECONDS, ModelsFolder, VehicleModels

if TYPE_CHECKING:
    from services.platform.jetstream import Broker

NAME = "status"
SILENCE_SECONDS = 5.0
"""How often it is looked who has fallen silent."""


class StatusSettings(ReportSettings):
    """What this service needs besides. `status_partitions` is the inclusive range this process consumes."""

    status_partitions: str = Field(default=f"0-{STATUS_PARTITIONS - 1}", pattern=r"^[0-7]-[0-7]$")
    status_batch: int = Field(default=512, ge=1, le=4_096)
    status_max_pending: int = Field(default=4_000, ge=1, le=100_000)
    heartbeat_seconds: float = Field(default=HEARTBEAT_SECONDS, gt=0, le=60)
    stream_max_behind_seconds: float = Field(default=10.0, ge=1, le=300)
    stream_max_waiting_bytes: int = Field(default=1_048_576, ge=65_536, le=67_108_864)
    max_streams: int = Field(default=5_000, ge=1, le=100_000)
    max_streams_per_user: int = Field(default=100, ge=1, le=100_000)
    max_streams_per_vehicle: int = Field(default=50, ge=1, le=100_000)
    max_watches: int = Field(default=50_000, ge=1, le=1_000_000)
    max_watches_per_user: int = Field(default=2_000, ge=1, le=1_000_000)
    max_watches_per_vehicle: int = Field(default=200, ge=1, le=1_000_000)
    update_id_key: FilePath
    checks_gather_seconds: float = Field(default=0.02, gt=0, le=1)
    checks_batch: int = Field(default=500, ge=1, le=5_000)
    checks_waiting: int = Field(default=20_000, ge=1, le=1_000_000)
    hint_again_seconds: float = Field(default=5.0, gt=0, le=60)
    doubt_seconds: float = Field(default=10.0, gt=0, le=300)
    hint_vehicles: int = Field(default=100_000, ge=1, le=10_000_000)
    vehicle_models: ModelsFolder | None = None
    command_target: Target | None = None
    """Where it is asked when vehicles may be woken; without one nobody is told."""

    @property
    def partitions(self) -> range:
        """The partitions as numbers."""
        first, last = self.status_partitions.split("-")
        return range(int(first), int(last) + 1)


def _advisories(broker: Broker, settings: StatusSettings) -> AdvisoryFilter:
    publisher = AdvisoryPublisher(broker)
    return AdvisoryFilter(
        publisher.publish,
        CLOCK.monotonic,
        settings.hint_again_seconds,
        settings.hint_vehicles,
        publisher.tell_lost,
    )


async def _find_the_silent(advisories: AdvisoryFilter) -> None:
    advisories.silent.look(CLOCK.microseconds())


async def main(settings: StatusSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; then end the streams, drain, and keep what was looked at."""
    ids, models = EventIds.read(settings.update_id_key), VehicleModels(settings.vehicle_models)
    await asyncio.to_thread(
        migrate,
        settings.database_url,
        Path(__file__).with_name("migrations"),
        store.HEAD,
        store.StatusModel.metadata,
    )
    database = await open_database(settings.database_url)
    health = Health()
    dead_letter_writer = DeadLetterWriter(database, store.dead_letters, CLOCK.now, settings.letter_limits)
    broker = await connect_broker(settings, f"service-{NAME}", health)
    await broker.ensure_streams(
        *(STREAMS[name] for name in (VEHICLE_EVENTS, VEHICLE_MQTT_EVENTS, DOOR_UPDATES, ROOM_EVENTS)),
        *(status_stream(n) for n in settings.partitions),
    )

    relay = OutboxRelay(
        database,
        store.outbox,
        translate.QUEUE,
        broker.publish_all,
        CLOCK.now,
        set_aside=dead_letter_writer.set_aside,
    )
    records = store.StatusStore(database, relay, BudgetedMessages(translate, CLOCK.monotonic))
    checks = StatusReadLog(
        records,
        translate.checks_message,
        CLOCK.microseconds,
        settings.checks_gather_seconds,
        settings.checks_batch,
        settings.checks_waiting,
    )
    advisories = _advisories(broker, settings)
    lost = LostVehicles(settings.hint_vehicles, advisories.lost)
    await listen_for_losses(broker, lost, CLOCK.microseconds)
    channel = open_channel(settings, settings.vehicle_keys_target, "enrolment")
    budgets = CommandWakeUps(
        open_channel(settings, settings.command_target, "command") if settings.command_target else None
    )
    directory = VehicleKeyDirectory(channel, CLOCK.monotonic)
    answers = AnswerReader(read_open_keys(settings.cloud_seal_keys), directory, vehicle_rules.check)
    reports = ReportReader(
        Domain.STATUS,
        read_open_keys(settings.cloud_report_keys),
        database,
        store.sessions,
        directory,
        settings.report_keys_kept,
    )
    await directory.listen(broker, reports)
    hellos = HelloIntake(answers, directory, database, store.sessions, CLOCK.milliseconds, reports.invalidate)
    intake = VehicleIntake(
        records,
        advisories,
        reports,
        answers,
        directory,
        hellos,
        ShownResultsPublisher(broker, relay).publish,
        CLOCK.microseconds,
        limits=ModelLimits(models),
    )
    batch, max_pending = settings.status_batch, settings.status_max_pending
    # Of every partition, because any replica of the service may be asked to replay.
    all_taken = intake.subscriptions(range(STATUS_PARTITIONS), batch, max_pending)
    audit = AuditDelivery(settings, NAME, database, store.audit_outbox, refused_kind="OPERATION_REFUSED")
    keeper = DeadLetterKeeper(database, store.dead_letters, all_taken, CLOCK.now)
    hub = Hub(
        CLOCK.monotonic,
        CLOCK.seconds,
        settings.max_streams,
        settings.max_streams_per_user,
        settings.max_streams_per_vehicle,
        max_behind_seconds=settings.stream_max_behind_seconds,
        max_waiting_bytes=settings.stream_max_waiting_bytes,
        shared=Streams(settings.max_watches, settings.max_watches_per_user, settings.max_watches_per_vehicle),
    )
    verifier = CapabilityVerifier(settings.capability_jwks, service=NAME)
    revocations = Revocations(hub, verifier)
    updates = StreamTail(
        broker,
        DOOR_UPDATES,
        KEPT_UPDATES,
        partial(publish_update, hub, lost),
        hub.start_at,
        hub.restart_at,
    )
    revoked = StreamTail(
        broker,
        ROOM_EVENTS,
        GRANT_REVOKED_SUBJECT,
        revocations.deliver,
        revocations.place_changed,
        revocations.place_changed,
        since=lambda: CLOCK.now() - timedelta(seconds=LONGEST_CAPABILITY_SECONDS),
    )
    for tail in (updates, revoked):  # a stream that began before its feed would not know its place
        await tail.begin()
    servicer = DoorStatusServer(
        records,
        checks,
        hub,
        JetStreamLog(broker),
        Reachability(lost, lambda: broker.connected),
        ids,
        CLOCK.microseconds,
        models=models,
        budgets=budgets,
    )
    own_data = OwnData(
        database,
        settings.database_url,
        kept_tables(settings.letter_limits.keep),
        store.holds,
        CLOCK.now,
        outbox=store.outbox,
        audit_outbox=store.audit_outbox,
    )
    watches = DoorWatchServer(hub, JetStreamLog(broker), ids, verifier, CLOCK.monotonic, CLOCK.microseconds)
    rpc = GrpcServer(
        settings,
        [SERVICE],
        servicer.register,
        POLICY,
        verifier,
        refusal_of,
        audit=audit.hook,
        besides=[
            dead_letter_api(DeadLetterReplay(audit.database, store.dead_letters, all_taken, CLOCK.now)),
            watches.api,
            *own_data.apis,
        ],
        health=health,
    )
    await rpc.start()
    dead_letter = RefusedReports(HINT_SECONDS, RefusalHints(broker).publish).after(
        dead_letter_writer.dead_letter
    )

    def trusted() -> frozenset[str]:
        verifier.refresh()
        return verifier.key_ids

    try:
        await boot.run_until(
            stop,
            rpc.keep_health(),
            broker.watch(),
            DatabaseWatch(database, health, settings.health_patience_seconds).run(),
            relay.run(),
            keeper.run(),
            own_data.retention.run(),
            audit.run(),
            checks.run(),
            updates.watch(),
            revoked.watch(),
            hub.beat_regularly(settings.heartbeat_seconds),
            hub.end_regularly(trusted),
            regularly("find_the_silent", SILENCE_SECONDS, partial(_find_the_silent, advisories)),
            regularly("reread_vehicle_models", REREAD_SECONDS, models.refresh),
            ConfirmationSweeper(records, CLOCK.microseconds, settings.doubt_seconds).run(),
            *(
                consumer.run()
                for consumer in consumers(
                    broker,
                    intake.subscriptions(settings.partitions, batch, max_pending),
                    dead_letter,
                    settings.senders,
                )
            ),
        )
    finally:
        hub.close()
        await rpc.stop()
        await checks.flush()
        for close in (audit.close, broker.close, channel.close, budgets.close, database.close):
            await close()


def cli() -> None:
    """Run the service."""
    boot.run(NAME, StatusSettings, main)


if __name__ == "__main__":
    cli()
