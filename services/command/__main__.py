"""Wiring of the command service: `python -m services.command`."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from ecarus.remotecontrol.door.v1 import door_command_service_pb2_grpc as stubs

from key_files.pem import read_open_keys
from protocol import streams
from protocol.cloud_side import AnswerReader
from protocol.consumers import readers_of
from services.command.adapters import right_link, store, vehicle_link
from services.command.adapters.audit_entries import COMMAND_REFUSED, CommandAuditEntries
from services.command.adapters.check_server import CHECK_POLICY, CHECK_SERVICE, VehicleCheckServicer
from services.command.adapters.dispatch import CommandDispatcher
from services.command.adapters.failure_server import FAILURE_POLICY, FAILURE_SERVICE, DoorFailureServicer
from services.command.adapters.fleet_server import (
    FLEET_POLICY,
    FLEET_REVIEW_SERVICE,
    FLEET_SERVICE,
    FleetFailureServicer,
)
from services.command.adapters.kept import kept_tables
from services.command.adapters.known_vehicles import SessionsKnown
from services.command.adapters.manifest_delivery import ManifestDelivery
from services.command.adapters.origin_server import CommandOriginServicer
from services.command.adapters.outbox_messages import TO_VEHICLES, TO_WATCHERS, CommandOutboxMessages
from services.command.adapters.refusals import refusal_of
from services.command.adapters.server import POLICY, SERVICE, DoorCommandServicer
from services.command.adapters.session_requests import TELL_SECONDS, SessionRequests
from services.command.adapters.shown_results import ShownResults
from services.command.adapters.translate import correlation_ids_in
from services.command.adapters.vehicle_queue import BrokerQueue
from services.command.adapters.wait_link import BrokerReplicas, note_ended
from services.command.adapters.wake_up_server import wake_up_api
from services.command.adapters.wake_ups import HttpWakeUpGateway, NoWakeUpGateway, VehicleWaker
from services.command.domain.failures import UNKNOWN_MODEL
from services.command.settings import CommandSettings
from services.command.usecases import requests as usecases
from services.command.usecases.failures import FailureDependencies, count_failures
from services.command.usecases.fleet import FleetDependencies
from services.command.usecases.history import RefusedRequests
from services.command.usecases.ports import CommandDependencies
from services.command.usecases.vehicle_reports import (
    count_check_wake_up,
    count_wake_up,
    pass_on_to_the_silent,
    sign_again,
    wake_the_silent,
)
from services.command.usecases.waiting import CommandWaits
from services.platform import boot
from services.platform.audit_delivery import AuditDelivery
from services.platform.background import regularly
from services.platform.broker_erasure import BrokerErasure
from services.platform.capability import CapabilityVerifier
from services.platform.channel import open_channel, watch_channel
from services.platform.clock import CLOCK
from services.platform.database import open_database
from services.platform.database_watch import DatabaseWatch
from services.platform.dead_letter_api import dead_letter_api
from services.platform.dead_letter_keeper import DeadLetterKeeper, DeadLetterWriter
from services.platform.dead_letter_replay import DeadLetterReplay
from services.platform.health import COMMANDS, Health
from services.platform.migration import migrate
from services.platform.outbox import OutboxRelay
from services.platform.server import GrpcServer
from services.platform.subject_data_api import OwnData
from services.platform.subscriptions import Subscription, consumers
from services.telematics import rules as vehicle_rules
from services.telematics.broker import connect_broker
from services.telematics.keys import VehicleKeyDirectory
from services.telematics.manifest_files import read_manifests
from services.telematics.order_mac import OrderMac
from services.telematics.order_signer import OrderSigningClient
from services.telematics.refusal_hints import listen_for_refusals
from services.vehicle_models.catalogue import REREAD_SECONDS, VehicleModels
from services.vehicle_models.model import DEFAULT_MODEL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import grpc

    from services.platform.jetstream import Broker
    from services.platform.outbox import OutgoingMessage

_SWEEP_SECONDS = 0.5
_PASS_ON_SECONDS = 1.0
_SIGN_AGAIN_SECONDS = 0.25
_LINGER_SECONDS = 0.001
_COUNT_SECONDS = 2.0
_log = structlog.get_logger()


async def _advisory_states(
    broker: Broker, settings: CommandSettings
) -> tuple[vehicle_link.AdvisoryStateCache, ShownResults]:
    advisory_states = vehicle_link.AdvisoryStateCache(broker, CLOCK.now)
    await advisory_states.listen()
    shown = ShownResults(CLOCK.microseconds, settings.shown_doors_patience_seconds)
    await shown.listen(broker)
    return advisory_states, shown


async def _command_waits(broker: Broker, settings: CommandSettings) -> CommandWaits:
    replicas = BrokerReplicas(broker.client)
    waits = CommandWaits(replicas, settings.command_waits, settings.command_waits_per_user)
    await replicas.listen(waits)
    return waits


async def _known_vehicles(commands: store.SqlCommands) -> SessionsKnown:
    known = SessionsKnown(commands.vehicles_with_session, commands.has_session)
    await known.load()
    return known


def _greeted(
    advisory_states: vehicle_link.AdvisoryStateCache, known: SessionsKnown, vin: str, arrived_at: datetime
) -> None:
    advisory_states.greeted(vin, arrived_at)
    known.add(vin)


def _model_of(models: VehicleModels, vin: str) -> str:
    model = models.of(vin)
    return UNKNOWN_MODEL if model is DEFAULT_MODEL else model.name


def _register(
    commands: DoorCommandServicer,
    failures: DoorFailureServicer,
    fleet: FleetFailureServicer,
    checks: VehicleCheckServicer,
    server: grpc.aio.Server,
) -> None:
    stubs.add_DoorCommandServiceServicer_to_server(commands, server)
    failures.register(server)
    fleet.register(server)
    checks.register(server)


async def main(settings: CommandSettings, stop: asyncio.Event) -> None:
    """Run until `stop`."""
    await asyncio.to_thread(
        migrate,
        settings.database_url,
        Path(__file__).with_name("migrations"),
        store.HEAD,
        store.CommandModel.metadata,
    )
    database = await open_database(settings.database_url)
    health = Health()
    dead_letter_writer = DeadLetterWriter(database, store.dead_letters, CLOCK.now, settings.letter_limits)
    broker = await connect_broker(settings, "service-command", health)
    await broker.ensure_streams(
        *(
            streams.STREAMS[name]
            for name in (
                streams.VEHICLE_COMMANDS,
                streams.VEHICLE_EVENTS,
                streams.VEHICLE_MQTT_EVENTS,
                streams.DOOR_UPDATES,
                streams.ROOM_EVENTS,
            )
        )
    )
    to_enrolment = open_channel(settings, settings.vehicle_keys_target, "enrolment")
    to_signer = open_channel(settings, settings.signer_target, "signer")
    keys = VehicleKeyDirectory(to_enrolment, CLOCK.monotonic)
    await keys.listen(broker)
    advisory_states, shown = await _advisory_states(broker, settings)

    def hand_over(messages: Sequence[OutgoingMessage]) -> None:
        dispatcher.committed(messages)
        to_watchers.hand_over(messages)
        note_ended(waits, messages)

    waits = await _command_waits(broker, settings)
    audit = AuditDelivery(
        settings,
        "command",
        database,
        store.audit_outbox,
        refused_kind=COMMAND_REFUSED,
        places=[store.audit_rows],
    )
    models = VehicleModels(settings.vehicle_models)
    commands = store.SqlCommands(
        database, CommandAuditEntries(audit.ids) if audit.ids else None, partial(_model_of, models)
    )
    known = await _known_vehicles(commands)
    orders = store.SqlOrders(database, CLOCK.milliseconds)
    signer = OrderSigningClient(to_signer)
    signer_answers = health.condition(
        "signer", patience_seconds=settings.health_patience_seconds, needed_by=(COMMANDS,)
    )
    requests = SessionRequests(keys, orders, signer, broker, CLOCK.monotonic, CLOCK.now)
    refused_reports = await listen_for_refusals(broker, "command", TELL_SECONDS, requests.tell)
    gateway = HttpWakeUpGateway(settings.wake_url) if settings.wake_url else NoWakeUpGateway()
    waker = VehicleWaker(
        lambda command_id: count_wake_up(deps, command_id),
        gateway,
        requests.ask,
        advisory_states.is_asleep,
        lambda vin: count_check_wake_up(deps, vin),
    )
    dispatcher = CommandDispatcher(
        broker,
        keys,
        orders,
        signer,
        waker,
        lambda command_ids, proven: usecases.end_unsigned(deps, command_ids, proven=proven),
        lambda command_ids: usecases.take_over(deps, command_ids),
        CLOCK.now,
    )
    deps = CommandDependencies(
        commands,
        CommandOutboxMessages(OrderMac.read(settings.order_mac_key)),
        hand_over,
        dispatcher,
        advisory_states,
        known,
        models,
        settings.rules,
        CLOCK.now,
        can_deliver=lambda: health.serves(COMMANDS),
    )
    refused = RefusedRequests(commands, CLOCK.now)
    failures = FailureDependencies(
        store.SqlFailureCounts(database),
        partial(_model_of, models),
        settings.fleet_minimum_vehicles,
        CLOCK.now,
    )
    to_vehicles = OutboxRelay(
        database,
        store.outbox,
        TO_VEHICLES,
        dispatcher.send,
        CLOCK.now,
        ready=lambda: broker.connected,
        linger_seconds=_LINGER_SECONDS,
        set_aside=dead_letter_writer.set_aside,
    )
    to_watchers = OutboxRelay(
        database,
        store.outbox,
        TO_WATCHERS,
        broker.publish_all,
        CLOCK.now,
        set_aside=dead_letter_writer.set_aside,
    )
    dispatcher.relay = to_vehicles

    events = vehicle_link.CommandEventHandler(
        deps,
        broker,
        keys,
        AnswerReader(read_open_keys(settings.cloud_seal_keys), keys, vehicle_rules.check),
        ManifestDelivery(read_manifests(settings.key_manifests), keys, broker, CLOCK.now),
        partial(_greeted, advisory_states, known),
        shown,
        CLOCK.milliseconds,
        ask=requests.ask,
    )
    review = right_link.SignerReview(signer)
    subscriptions = [
        *vehicle_link.subscriptions(events, deps),
        Subscription(
            right_link.ENDED,
            right_link.CommandRevocationHandler(deps, review, BrokerQueue(broker), waits).handle,
        ),
    ]
    keeper = DeadLetterKeeper(database, store.dead_letters, subscriptions, CLOCK.now)
    own_data = OwnData(
        audit.database,
        settings.database_url,
        kept_tables(settings.rules, settings.letter_limits.keep, relayed=audit.ids is not None),
        store.holds,
        CLOCK.now,
        outbox=store.outbox,
        audit_outbox=store.audit_outbox,
        in_the_way=partial(store.in_the_way_of_erasure, relayed=audit.ids is not None),
        besides=store.erase_messages,
        told=BrokerErasure(
            broker,
            streams.DOOR_UPDATES,
            readers_of(streams.DOOR_UPDATES),
            CLOCK.monotonic,
            words_in=correlation_ids_in,
        ).erase,
        words=partial(store.words_of, now=CLOCK.now),
    )
    server = GrpcServer(
        settings,
        [SERVICE, FAILURE_SERVICE, FLEET_SERVICE, FLEET_REVIEW_SERVICE, CHECK_SERVICE],
        partial(
            _register,
            DoorCommandServicer(deps, refused, waits),
            DoorFailureServicer(failures),
            FleetFailureServicer(
                FleetDependencies(store.SqlFleetCounts(database), settings.fleet_minimum_vehicles, CLOCK.now)
            ),
            VehicleCheckServicer(requests, waker),
        ),
        {**POLICY, **FAILURE_POLICY, **FLEET_POLICY, **CHECK_POLICY},
        CapabilityVerifier(settings.capability_jwks, service="command"),
        refusal_of,
        health=health,
        audit=audit.hook,
        besides=[
            dead_letter_api(DeadLetterReplay(audit.database, store.dead_letters, subscriptions, CLOCK.now)),
            CommandOriginServicer(commands).api,
            wake_up_api(deps),
            *own_data.apis,
        ],
    )
    await server.start()
    _log.info("started", listen=settings.listen)
    try:
        await boot.run_until(
            stop,
            server.keep_health(),
            broker.watch(),
            DatabaseWatch(database, health, settings.health_patience_seconds).run(),
            watch_channel(to_signer, signer_answers),
            to_vehicles.run(),
            to_watchers.run(),
            keeper.run(),
            refused.run(),
            audit.run(),
            *(
                consumer.run()
                for consumer in consumers(
                    broker,
                    subscriptions,
                    refused_reports.after(dead_letter_writer.dead_letter),
                    settings.senders,
                )
            ),
            regularly("time_out_overdue", _SWEEP_SECONDS, partial(usecases.time_out_overdue, deps)),
            regularly("sign_again", _SIGN_AGAIN_SECONDS, partial(sign_again, deps)),
            regularly("wake_the_silent", _SWEEP_SECONDS, partial(wake_the_silent, deps, waker.wake)),
            regularly(
                "pass_on", _PASS_ON_SECONDS, partial(pass_on_to_the_silent, deps, events.sessions.pass_on)
            ),
            regularly("count_failures", _COUNT_SECONDS, partial(count_failures, failures)),
            own_data.retention.run(),
            regularly("reread_vehicle_models", REREAD_SECONDS, models.refresh),
        )
    finally:
        waits.close()  # before calls in flight are waited for
        await boot.close_all(
            server.stop, *(each.close for each in (refused, audit, gateway, to_signer, to_enrolment))
        )
        await boot.close_all(broker.close, database.close)


if __name__ == "__main__":
    boot.run("command", CommandSettings, main)
