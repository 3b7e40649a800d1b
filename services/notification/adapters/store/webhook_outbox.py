"""What waits to be sent to webhooks, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import delete, func, or_, select, update

from services.notification.adapters.store.tables import webhook_deliveries, webhooks
from services.notification.adapters.store.webhook_due import (
    DELIVERY_LEASE,
    callable_webhooks,
    placed,
    take_due,
    webhooks_due,
)
from services.notification.adapters.store.webhook_results import (
    note_failed,
    note_heartbeat_taken,
    note_taken,
)
from services.notification.adapters.store.webhook_rows import MOST_FAILURE, backlog_of, secrets_of, webhook_of
from services.notification.adapters.store.webhook_vehicles import note_change
from services.notification.domain.webhooks import (
    CallOutcome,
    DeliveryStatus,
    DisabledReason,
    WebhookState,
)
from services.notification.usecases.webhook_ports import DueChallenge, DueDelivery, DueHeartbeat

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime, timedelta

    from sqlalchemy import ColumnElement, Connection

    from services.notification.adapters.store.webhook_disabling import WebhookDisabling
    from services.notification.domain.webhooks import CallResult, DisableRule, Webhook
    from services.platform.database import Database

T = TypeVar("T")
_DUE = webhook_deliveries.c
_PENDING = DeliveryStatus.PENDING.value


class SqlWebhookOutbox:
    """usecases.webhook_ports.WebhookOutbox on a database. `disabling` is how one is disabled by what becomes of it."""

    def __init__(self, database: Database, disabling: WebhookDisabling) -> None:
        self._database = database
        self._disabling = disabling

    async def due(
        self,
        at: datetime,
        most: int,
        *,
        full: Collection[str],
        take: Callable[[str], bool],
    ) -> list[DueDelivery]:
        """Take some that are to be sent: for DELIVERY_LEASE nobody else does; see the port."""
        # What waits is looked for without a write: mostly there is nothing.
        waiting = await self._database.read(
            lambda c: bool(c.execute(webhooks_due(at, full).limit(1)).first())
        )
        if not waiting:
            return []
        return await self._database.write(lambda c: take_due(c, at, most, full, take))

    async def delivered(self, due: DueDelivery, status: int | None, at: datetime) -> None:
        """Note that it was taken. What waits because its URL failed is due at once."""
        values = {
            "status": DeliveryStatus.DELIVERED.value,
            "taken_until": None,
            "response_status": status,
            "failure": "",
            "delivered_at": at,
        }

        def work(connection: Connection) -> None:
            connection.execute(update(webhook_deliveries).where(_is(due)).values(values))
            note_taken(connection, due.webhook.id, at)

        await self._database.write(work)

    async def failed(
        self,
        due: DueDelivery,
        result: CallResult,
        *,
        pause: timedelta,
        rest: timedelta,
        rule: DisableRule,
        at: datetime,
    ) -> DisabledReason | None:
        """Note that it was not; see the port."""
        values: dict[str, Any] = {
            "response_status": result.status,
            "failure": result.failure[:MOST_FAILURE],
            "due_at": at + pause,
            "taken_until": None,
        }
        if at + pause >= due.expires_at:
            values["status"] = DeliveryStatus.FAILED.value

        def work(connection: Connection) -> DisabledReason | None:
            connection.execute(update(webhook_deliveries).where(_is(due)).values(values))
            return note_failed(connection, due.webhook.id, result, at + rest, rule, at, self._disabling)

        return await self._database.write(work)

    async def not_allowed(self, due: DueDelivery, at: datetime) -> None:  # noqa: ARG002  # the port's signature
        """Let go of it: that something happened to a vehicle is not for those to see who may not read it."""
        await self._database.write(lambda c: c.execute(delete(webhook_deliveries).where(_is(due))))

    async def put_off(self, due: DueDelivery, until: datetime) -> None:
        """Look at it again then, as if it had not been taken."""
        values = {"due_at": until, "attempts": due.attempts - 1, "taken_until": None}
        await self._database.write(
            lambda c: c.execute(update(webhook_deliveries).where(_is(due)).values(values))
        )

    async def challenges(
        self, at: datetime, most: int, *, full: Collection[str], take: Callable[[str], bool]
    ) -> list[DueChallenge]:
        """Take some URLs that are to be challenged: for a while nobody else does."""
        pending = webhooks.c.state == WebhookState.PENDING.value
        query = (
            select(webhooks).where(pending, webhooks.c.challenge_at <= at).order_by(webhooks.c.challenge_at)
        )

        def work(connection: Connection) -> list[DueChallenge]:
            rows = placed(connection, query, most, full, take)
            for row in rows:
                values = {"challenge_at": at + DELIVERY_LEASE, "challenges": row.challenges + 1}
                connection.execute(update(webhooks).where(webhooks.c.id == row.id).values(values))
            return [DueChallenge(webhook_of(row), row.challenges + 1, secrets_of(row, at)) for row in rows]

        return await self._if_any(query, work)

    async def challenge_answered(self, webhook: Webhook, at: datetime) -> None:
        """Make it ACTIVE, unless its URL is another one by now."""

        def work(connection: Connection) -> None:
            values = {
                "state": WebhookState.ACTIVE.value,
                "challenge_at": None,
                "last_failure": "",
                "last_delivered_at": at,
                "heartbeat_at": at,
            }
            if connection.execute(update(webhooks).where(_same(webhook)).values(values)).rowcount:
                note_change(connection)
                waits = (_DUE.webhook == webhook.id) & (_DUE.status == _PENDING)
                connection.execute(update(webhook_deliveries).where(waits).values(due_at=at))

        await self._database.write(work)

    async def challenge_failed(
        self, webhook: Webhook, failure: str, again_at: datetime | None, at: datetime
    ) -> DisabledReason | None:
        """Challenge it then, or, without a time, disable it; see the port."""
        values: dict[str, Any] = {"last_failure": failure[:MOST_FAILURE], "challenge_at": again_at}

        def work(connection: Connection) -> DisabledReason | None:
            is_same = connection.execute(update(webhooks).where(_same(webhook)).values(values)).rowcount
            if not is_same or again_at is not None:
                return None
            self._disabling.disable(connection, webhook.id, DisabledReason.CHALLENGE_FAILED, at)
            return DisabledReason.CHALLENGE_FAILED

        return await self._database.write(work)

    async def heartbeats(
        self,
        at: datetime,
        every: timedelta,
        most: int,
        *,
        full: Collection[str],
        take: Callable[[str], bool],
    ) -> list[DueHeartbeat]:
        """Take some that are to be told what waits, the next time after `every`."""
        query = callable_webhooks(at).where(webhooks.c.heartbeat_at <= at).order_by(webhooks.c.heartbeat_at)

        def work(connection: Connection) -> list[DueHeartbeat]:
            rows = placed(connection, query, most, full, take)
            names = [row.id for row in rows]
            connection.execute(
                update(webhooks).where(webhooks.c.id.in_(names)).values(heartbeat_at=at + every)
            )
            found = [(webhook_of(row), secrets_of(row, at)) for row in rows]
            return [
                DueHeartbeat(webhook, backlog_of(connection, webhook), secrets) for webhook, secrets in found
            ]

        return await self._if_any(query, work)

    async def heartbeat_done(
        self, webhook: Webhook, result: CallResult, *, rest: timedelta, rule: DisableRule, at: datetime
    ) -> DisabledReason | None:
        """Note what became of it; see the port."""

        def work(connection: Connection) -> DisabledReason | None:
            if result.outcome is CallOutcome.TAKEN:
                note_heartbeat_taken(connection, webhook.id, at)
                return None
            return note_failed(connection, webhook.id, result, at + rest, rule, at, self._disabling)

        return await self._database.write(work)

    async def give_up(self, at: datetime) -> None:
        """Give up what was tried for too long."""
        over = (_DUE.status == _PENDING) & (_DUE.expires_at <= at)
        values = {"status": DeliveryStatus.FAILED.value}

        def work(connection: Connection) -> list[None]:
            connection.execute(update(webhook_deliveries).where(over).values(values))
            return []

        await self._if_any(select(_DUE.webhook).where(over), work)

    async def disable_crowded(self, at: datetime, most_waiting: int) -> list[tuple[Webhook, DisabledReason]]:
        """Disable webhooks for which more waits, and hold what does; return those."""
        waits = (_DUE.webhook == webhooks.c.id) & (_DUE.status == _PENDING)
        waiting = select(func.count()).select_from(webhook_deliveries).where(waits).scalar_subquery()
        crowded = select(webhooks).where(
            webhooks.c.state == WebhookState.ACTIVE.value, waiting > most_waiting
        )

        def work(connection: Connection) -> list[tuple[Webhook, DisabledReason]]:
            rows = connection.execute(crowded.with_for_update(skip_locked=True, key_share=True)).all()
            for row in rows:
                self._disabling.disable(connection, row.id, DisabledReason.BACKLOG, at)
                # Else it would be as many, and the webhook disabled again, as soon as it is enabled.
                is_free = or_(_DUE.taken_until.is_(None), _DUE.taken_until <= at)
                waits = (_DUE.webhook == row.id) & (_DUE.status == _PENDING) & is_free
                held = {"status": DeliveryStatus.HELD.value, "taken_until": None}
                connection.execute(update(webhook_deliveries).where(waits).values(held))
            return [(webhook_of(row), DisabledReason.BACKLOG) for row in rows]

        return await self._if_any(crowded, work)

    async def _if_any(self, query: Any, work: Callable[[Connection], list[T]]) -> list[T]:
        """Do the work in a transaction where the query finds something: mostly there is nothing."""
        if not await self._database.read(lambda c: bool(c.execute(query.limit(1)).first())):
            return []
        return await self._database.write(work)


def _is(due: DueDelivery) -> ColumnElement[bool]:
    """Return which row it is, as long as it waits as it was taken: a replay makes it another one."""
    return (
        (_DUE.webhook == due.webhook.id)
        & (_DUE.event_id == due.key)
        & (_DUE.status == _PENDING)
        & (_DUE.attempts == due.attempts)
    )


def _same(webhook: Webhook) -> ColumnElement[bool]:
    """Return which row it is, as long as it is to be challenged for this URL."""
    return (
        (webhooks.c.id == webhook.id)
        & (webhooks.c.state == WebhookState.PENDING.value)
        & (webhooks.c.url == webhook.wish.url)
    )
