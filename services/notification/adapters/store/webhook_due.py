"""What is due to be sent to webhooks: of which, what of it is next, and that it is one replica's for a while."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, literal, or_, select, update

from services.notification.adapters.store.tables import webhook_deliveries, webhook_events, webhooks
from services.notification.adapters.store.webhook_rows import event_of, secrets_of, webhook_of
from services.notification.domain.webhooks import DeliveryStatus, WebhookState
from services.notification.usecases.webhook_ports import DueDelivery

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sqlalchemy import ColumnElement, Connection, Exists, Row

DELIVERY_LEASE = timedelta(seconds=60)
"""So long a delivery is one replica's to send: longer than sending may take (CALL_SECONDS)."""
_LOOKED_AT = 16
"""So many of what waits for a webhook are looked at with one look."""
_DUE = webhook_deliveries.c
_PENDING = DeliveryStatus.PENDING.value


def callable_webhooks(at: datetime) -> Any:
    """Return a query for webhooks whose URLs may be called now."""
    return select(webhooks).where(
        webhooks.c.state == WebhookState.ACTIVE.value,
        or_(webhooks.c.resting_until.is_(None), webhooks.c.resting_until <= at),
    )


def _under_way(at: datetime) -> tuple[Any, Exists]:
    """Return deliveries of the same webhook that somebody sends at this moment, and whether there are any: read by an
    index of these alone, however many are kept.
    """
    other = webhook_deliveries.alias()
    return other.c, exists().where(other.c.webhook == _DUE.webhook, other.c.taken_until > at)


def _is_next(webhook: Any, failures: Any, at: datetime) -> tuple[ColumnElement[bool], ...]:
    """Return what is due of a webhook, and not behind something that is under way: of the same vehicle, or, while its
    URL fails, of any.
    """
    _, any_at_all = _under_way(at)
    other, of_vehicle = _under_way(at)
    return (
        _DUE.webhook == webhook,
        _DUE.status == _PENDING,
        _DUE.due_at <= at,
        _DUE.expires_at > at,
        ~of_vehicle.where(other.vin == _DUE.vin),
        or_(failures == 0, ~any_at_all),
    )


def webhooks_due(at: datetime, full: Collection[str]) -> Any:
    """Return a query for webhooks of which something is next, those first that had none for longest."""
    something = exists().where(*_is_next(webhooks.c.id, webhooks.c.failures, at))
    return callable_webhooks(at).where(something, webhooks.c.host.not_in(full)).order_by(webhooks.c.taken_at)


def placed(
    connection: Connection, query: Any, most: int, full: Collection[str], take: Callable[[str], bool]
) -> list[Row[Any]]:
    """Return up to `most` of the webhooks of a query, of each host as many as there is room for: those of one host are
    before nobody's.
    """
    hosts = set(full)
    rows: list[Row[Any]] = []
    while len(rows) < most:
        others = query.where(
            webhooks.c.host.not_in(hosts), webhooks.c.id.not_in([row.id for row in rows])
        ).limit(most - len(rows))
        refused = set()
        for row in connection.execute(others.with_for_update(skip_locked=True, key_share=True)).all():
            if row.host not in refused and take(row.host):
                rows.append(row)
            else:
                refused.add(row.host)
        if not refused:
            break
        hosts |= refused
    return rows


def take_due(
    connection: Connection,
    at: datetime,
    most: int,
    full: Collection[str],
    take: Callable[[str], bool],
) -> list[DueDelivery]:
    """Take up to `most` of what is due, for DELIVERY_LEASE; see usecases.webhook_ports.WebhookOutbox.due."""
    found: list[DueDelivery] = []
    query = webhooks_due(at, full).limit(most).with_for_update(skip_locked=True, key_share=True)
    for row in connection.execute(query).all():
        taken = _of_webhook(connection, row, at, most - len(found), take)
        if taken:
            connection.execute(update(webhooks).where(webhooks.c.id == row.id).values(taken_at=at))
        found += taken
    return found


def _of_webhook(
    connection: Connection, row: Row[Any], at: datetime, room: int, take: Callable[[str], bool]
) -> list[DueDelivery]:
    """Take up to `room` of what is due to this webhook: of each vehicle the first."""
    if room <= 0:
        return []
    in_order: tuple[Any, ...] = (_DUE.position,)
    if row.failures:  # one at a time, and not always the same, until it takes something
        room, in_order = 1, (_DUE.attempts, _DUE.position)
    query = (
        select(webhook_deliveries)
        .where(*_is_next(literal(row.id), literal(row.failures), at))
        .order_by(*in_order)
        .limit(_LOOKED_AT)
        .with_for_update(skip_locked=True)
    )
    chosen: dict[str, Row[Any]] = {}
    for each in connection.execute(query).all():
        if len(chosen) < room and each.vin not in chosen and take(row.host):
            chosen[each.vin] = each
    if not chosen:
        return []
    keys = [each.event_id for each in chosen.values()]
    which = (_DUE.webhook == row.id) & _DUE.event_id.in_(keys)
    values = {
        "due_at": at + DELIVERY_LEASE,
        "taken_until": at + DELIVERY_LEASE,
        "attempts": _DUE.attempts + 1,
        "last_attempt_at": at,
    }
    connection.execute(update(webhook_deliveries).where(which).values(values))
    events = select(webhook_events).where(webhook_events.c.event_id.in_(keys))
    happened = {each.event_id: event_of(each) for each in connection.execute(events)}
    webhook, secrets = webhook_of(row), secrets_of(row, at)
    return [
        DueDelivery(
            each.event_id, webhook, happened[each.event_id], each.attempts + 1, each.expires_at, secrets
        )
        for each in chosen.values()
        if each.event_id in happened
    ]
