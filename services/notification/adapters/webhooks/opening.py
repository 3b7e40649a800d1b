"""Puts webhooks together, as the settings say."""

from __future__ import annotations

import random
import ssl
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from services.live_updates.ids import UpdateIdKeyError, UpdateIds
from services.notification.adapters import store
from services.notification.adapters.rounds import JobRounds
from services.notification.adapters.store.webhook_rows import webhook_host
from services.notification.adapters.webhooks.intake import BrokerUpdateStream, WebhookUpdates
from services.notification.adapters.webhooks.messages import WebhookMessages
from services.notification.adapters.webhooks.rights import ReadingRightsClient
from services.notification.adapters.webhooks.secrets import SecretBox, WebhookKeyError
from services.notification.usecases.host_places import HostPlaces
from services.notification.usecases.webhook_interest import InterestIndex
from services.notification.usecases.webhook_operation import WebhookOperation
from services.notification.usecases.webhook_sending import WebhookSending
from services.notification.usecases.webhooks import Webhooks
from services.platform.background import regularly
from services.platform.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    import grpc

    from services.notification.adapters.webhooks.caller import HttpWebhookCaller
    from services.notification.adapters.webhooks.settings import WebhookSettings
    from services.platform.clock import Clock
    from services.platform.database import Database
    from services.platform.jetstream import Broker

_LOOK_SECONDS = 1.0
_REREAD_SECONDS = 10.0


def update_ids_of(settings: WebhookSettings) -> UpdateIds:
    """Return what live updates' ids are made with. Raises SettingsError."""
    try:
        return UpdateIds.read(settings.update_id_key)
    except UpdateIdKeyError as error:
        raise SettingsError(str(error)) from error


def webhook_caller(settings: WebhookSettings, clock: Clock) -> HttpWebhookCaller:
    """Return what calls URLs. Raises SettingsError."""
    # What it is built of is loaded only where it is opened.
    from services.notification.adapters.senders.names import NameResolver  # noqa: PLC0415
    from services.notification.adapters.senders.peer import PushPeer  # noqa: PLC0415
    from services.notification.adapters.senders.public_network import PublicNetwork  # noqa: PLC0415
    from services.notification.adapters.webhooks.caller import HttpWebhookCaller  # noqa: PLC0415

    try:
        box = SecretBox.read(settings.webhook_key)
    except WebhookKeyError as error:
        raise SettingsError(str(error)) from error
    trust = ssl.create_default_context(cafile=str(settings.webhook_ca) if settings.webhook_ca else None)
    rules, resolver = settings.webhook_urls, NameResolver()
    peer = PushPeer(
        trust,
        seconds=settings.webhook_seconds,
        concurrency=settings.webhook_concurrency,
        per_host=settings.webhook_per_host,
        network=PublicNetwork(rules.allows, resolver),
    )
    return HttpWebhookCaller(peer, rules, box, clock, resolver)


@dataclass(frozen=True, slots=True)
class WebhookParts:
    """What the service does about webhooks."""

    api: Webhooks
    operation: WebhookOperation
    index: InterestIndex
    intake: WebhookUpdates
    sending: WebhookSending
    rounds: JobRounds
    caller: HttpWebhookCaller

    def jobs(self) -> list[Coroutine[Any, Any, None]]:
        """Return what runs until it is cancelled."""
        return [
            self.rounds.run(),
            regularly("look_at_webhooks", _LOOK_SECONDS, self._look),
            regularly("reread_webhook_vehicles", _REREAD_SECONDS, self.index.reread),
        ]

    async def _look(self) -> None:
        await self.index.refresh()
        await self.sending.look()

    async def close(self) -> None:
        """End what is under way."""
        await self.sending.finish()
        await self.caller.close()


def open_webhooks(
    settings: WebhookSettings,
    database: Database,
    caller: HttpWebhookCaller,
    ids: UpdateIds,
    broker: Broker,
    access: grpc.aio.Channel,
    clock: Clock,
) -> WebhookParts:
    """Return all of it, put together. `database` is an audited one."""
    rights, messages = ReadingRightsClient(access, clock.monotonic), WebhookMessages()
    retried = timedelta(hours=settings.webhook_retry_hours)
    record = store.SqlWebhooks(database, caller.new_secret, retried)
    index = InterestIndex(store.SqlWebhookInterests(database), rights, clock.now)
    disabling = store.WebhookDisabling(messages.disabled, retried)
    sending = WebhookSending(
        store.SqlWebhookOutbox(database, disabling),
        rights,
        caller,
        HostPlaces(settings.webhook_concurrency, settings.webhook_per_host),
        webhook_host,
        messages,
        clock.now,
        random.SystemRandom().random,
        rule=settings.webhook_disable_rule,
        heartbeat=timedelta(seconds=settings.webhook_heartbeat_seconds),
        most_waiting=settings.webhook_backlog,
        changed=index.refresh,
    )
    rounds = JobRounds("send_webhooks", sending.step)
    sending.freed = rounds.hurry
    api = Webhooks(
        record,
        caller,
        rights,
        clock.now,
        most=settings.webhooks_per_registrant,
        changed=index.refresh,
        hurry=rounds.hurry,
        messages=messages,
    )
    intake = WebhookUpdates(index, BrokerUpdateStream(broker), ids, rounds.hurry)
    operation = WebhookOperation(
        store.SqlOperatedWebhooks(database, disabling),
        clock.now,
        changed=index.refresh,
        hurry=rounds.hurry,
    )
    return WebhookParts(api, operation, index, intake, sending, rounds, caller)
