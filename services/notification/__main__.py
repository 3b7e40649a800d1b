"""Wires the notification service and runs it: `python -m services.notification`."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.streams import DOOR_UPDATES, ROOM_EVENTS, STREAMS
from services.notification.adapters import server, store, translate, webhook_operator_server, webhook_server
from services.notification.adapters.kept import kept_tables
from services.notification.adapters.people import PeopleClient
from services.notification.adapters.rounds import JobRounds
from services.notification.adapters.senders import open_senders, web_push_server_key
from services.notification.adapters.texts import TextCatalogue
from services.notification.adapters.update_link import AccessChangeHandler, DoorUpdates, subscriptions
from services.notification.adapters.webhooks.opening import open_webhooks, update_ids_of, webhook_caller
from services.notification.domain.devices import DeviceRules
from services.notification.settings import NotificationSettings
from services.notification.usecases.addressing import NoticeAddressing
from services.notification.usecases.reminding import LeftReminders
from services.notification.usecases.sending import PushSending
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
from services.platform.server import GrpcServer
from services.platform.subject_data_api import OwnData
from services.platform.subscriptions import consumers
from services.telematics.broker import connect_broker

if TYPE_CHECKING:
    import grpc

NAME = "notification"
_REMIND_SECONDS = 1.0


async def main(settings: NotificationSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    texts = TextCatalogue.read()
    senders = open_senders(settings, CLOCK)
    caller, update_ids = webhook_caller(settings, CLOCK), update_ids_of(settings)
    migrations = Path(__file__).with_name("migrations")
    await asyncio.to_thread(
        migrate, settings.database_url, migrations, store.HEAD, store.NotificationModel.metadata
    )
    database = await open_database(settings.database_url)
    health = Health()
    dead_letter_writer = DeadLetterWriter(database, store.dead_letters, CLOCK.now, settings.letter_limits)
    broker = await connect_broker(settings, f"service-{NAME}", health)
    await broker.ensure_streams(*(STREAMS[name] for name in (DOOR_UPDATES, ROOM_EVENTS)))
    channels = (
        open_channel(settings, settings.access_target, "access"),
        open_channel(settings, settings.command_target, "command"),
    )
    people = PeopleClient(*channels, CLOCK.monotonic)
    usual = timedelta(minutes=settings.reminder_minutes)
    notices = store.SqlNotices(database)
    updates = store.SqlUpdates(database, usual, timedelta(hours=settings.webhook_retry_hours))
    sending = PushSending(
        notices,
        people,
        senders,
        texts,
        CLOCK.now,
        most=settings.push_concurrency,
        per_host=settings.push_per_host,
    )
    sends = JobRounds("send_pushes", sending.step)
    sending.freed = sends.hurry
    addressing = JobRounds("address_notices", NoticeAddressing(notices, people, CLOCK.now, sends.hurry).step)
    reminding = LeftReminders(updates, people, usual, CLOCK.now, addressing.hurry)
    audit = AuditDelivery(settings, NAME, database, store.audit_outbox, refused_kind="OPERATION_REFUSED")
    webhooks = open_webhooks(settings, audit.database, caller, update_ids, broker, channels[0], CLOCK)
    await webhooks.index.refresh()
    taken = subscriptions(
        DoorUpdates(updates, CLOCK.now, addressing.hurry, webhooks.intake),
        AccessChangeHandler(notices, CLOCK.now, webhooks.index.access_changed),
    )
    keeper = DeadLetterKeeper(database, store.dead_letters, taken, CLOCK.now)
    own_data = OwnData(
        audit.database,
        settings.database_url,
        kept_tables(
            settings.letter_limits.keep,
            timedelta(days=settings.push_device_days),
            timedelta(days=settings.webhook_event_days),
        ),
        store.holds,
        CLOCK.now,
        audit_outbox=store.audit_outbox,
    )
    rules = DeviceRules(frozenset(senders), settings.devices_per_person, settings.web_push_endpoints.fault_in)
    servicer = server.PushDeviceServicer(
        store.SqlDevices(database),
        rules,
        settings.reminder_minutes,
        CLOCK.now,
        application_server_key=web_push_server_key(settings),
    )

    def register(grpc_server: grpc.aio.Server) -> None:
        servicer.register(grpc_server)
        webhook_server.WebhookServicer(webhooks.api).register(grpc_server)
        webhook_operator_server.WebhookOperatorServicer(webhooks.operation).register(grpc_server)

    rpc = GrpcServer(
        settings,
        [server.SERVICE, webhook_server.SERVICE, webhook_operator_server.SERVICE],
        register,
        {**server.POLICY, **webhook_server.POLICY, **webhook_operator_server.POLICY},
        CapabilityVerifier(settings.capability_jwks, service=NAME),
        translate.refusal_of,
        audit=audit.hook,
        besides=[
            dead_letter_api(DeadLetterReplay(audit.database, store.dead_letters, taken, CLOCK.now)),
            *own_data.apis,
        ],
        health=health,
    )
    await rpc.start()
    try:
        await boot.run_until(
            stop,
            rpc.keep_health(),
            broker.watch(),
            DatabaseWatch(database, health, settings.health_patience_seconds).run(),
            keeper.run(),
            own_data.retention.run(),
            audit.run(),
            addressing.run(),
            sends.run(),
            *webhooks.jobs(),
            regularly("remind", _REMIND_SECONDS, reminding.look),
            *(consumer.run() for consumer in consumers(broker, taken, dead_letter_writer.dead_letter)),
        )
    finally:
        await rpc.stop()
        await sending.finish()
        await webhooks.close()
        for sender in senders.values():
            await sender.close()
        await audit.close()
        await broker.close()
        for channel in channels:
            await channel.close()
        await database.close()


def cli() -> None:
    """Run the process."""
    boot.run(NAME, NotificationSettings, main)


if __name__ == "__main__":
    cli()
