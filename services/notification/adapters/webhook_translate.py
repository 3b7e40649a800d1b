"""Between webhooks as this service has them and the contract's messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecarus.remotecontrol.door.v1 import webhook_pb2

from services.notification.domain.devices import FieldFault
from services.notification.domain.webhooks import (
    DeliveryStatus,
    OtherWebhookBodyError,
    TooManyWebhooksError,
    UrlRefusedError,
    VehicleNotReadableError,
    WebhookEventUnknownError,
    WebhookNotActiveError,
    WebhookStoppedError,
    WebhookUnknownError,
    WebhookWish,
)
from services.notification.usecases.ports import NotKnownNowError
from services.platform import errors
from services.platform.errors import REASONS, Refusal, Violation
from services.platform.free_text import readable
from services.platform.times import set_time, time_of
from services.product import RESOURCE_NOT_FOUND_DETAIL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from services.notification.domain.webhooks import Backlog, Webhook
    from services.notification.usecases.webhook_ports import WebhookDelivery, WebhookReplayResult

MOST_DESCRIPTION = 200
DEFAULT_LIMIT = 50
_STATES = webhook_pb2.WebhookState.Value
_REASONS = webhook_pb2.WebhookDisabledReason.Value
_STATUSES = webhook_pb2.WebhookDeliveryStatus.Value


class WebhookFieldError(Exception):
    """A field of a request is none that it could be."""

    def __init__(self, fault: FieldFault) -> None:
        super().__init__(f"{fault.field}: {fault.reason}")
        self.fault = fault


def wish_of(webhook: webhook_pb2.NewWebhook) -> WebhookWish:
    """Return what a webhook is to be. Raises WebhookFieldError."""
    description = webhook.description
    if readable(description, MOST_DESCRIPTION) != description:
        raise WebhookFieldError(FieldFault("description", "has characters that cannot be shown"))
    vins = tuple(dict.fromkeys(each.upper() for each in webhook.vehicles))
    return WebhookWish(webhook.url, tuple(webhook.event_types), vins, description)


def status_asked(value: webhook_pb2.WebhookDeliveryStatus.Value.ValueType) -> DeliveryStatus:
    """Return the status that is asked for."""
    return DeliveryStatus(_STATUSES.Name(value))


def since_asked(replay: webhook_pb2.WebhookReplay) -> datetime | None:
    """Return the time that is asked for, if one is. Raises WebhookFieldError."""
    if not replay.HasField("since"):
        return None
    try:
        return time_of(replay.since)
    except ValueError as error:
        raise WebhookFieldError(FieldFault("since", "is no time")) from error


def webhook_message(webhook: Webhook, backlog: Backlog, secret: str = "") -> webhook_pb2.Webhook:
    """Return the public resource, with its secret where it is given."""
    message = webhook_pb2.Webhook(
        webhook_id=webhook.name,
        url=webhook.wish.url,
        event_types=webhook.wish.event_types,
        vehicles=webhook.wish.vins,
        description=webhook.wish.description or None,
        state=_STATES.Value(webhook.state.value),
        disabled_reason=_REASONS.Value(webhook.disabled_reason.value) if webhook.disabled_reason else None,
        last_failure=webhook.last_failure or None,
        secret=secret or None,
        backlog=webhook_pb2.WebhookBacklog(waiting=backlog.waiting),
    )
    for timestamp, at in (
        ("disabled_at", webhook.disabled_at),
        ("registered_at", webhook.registered_at),
        ("updated_at", webhook.updated_at),
        ("last_delivered_at", webhook.last_delivered_at),
        ("previous_secret_until", webhook.previous_secret_until),
    ):
        if at is not None:
            set_time(getattr(message, timestamp), at)
    if backlog.oldest_at is not None:
        set_time(message.backlog.oldest_at, backlog.oldest_at)
    if backlog.next_attempt_at is not None:
        set_time(message.backlog.next_attempt_at, backlog.next_attempt_at)
    return message


def webhook_list(found: Sequence[tuple[Webhook, Backlog]]) -> webhook_pb2.WebhookList:
    """Return the public resource."""
    return webhook_pb2.WebhookList(webhooks=[webhook_message(*each) for each in found])


def delivery_message(delivery: WebhookDelivery) -> webhook_pb2.WebhookDelivery:
    """Return the public resource."""
    message = webhook_pb2.WebhookDelivery(
        event_id=delivery.event_id,
        event_type=delivery.event_type,
        vin=delivery.vin or None,
        status=_STATUSES.Value(delivery.status.value),
        attempts=delivery.attempts,
        response_status=delivery.response_status,
        failure=delivery.failure or None,
    )
    set_time(message.occurred_at, delivery.occurred_at)
    if delivery.last_attempt_at is not None:
        set_time(message.last_attempt_at, delivery.last_attempt_at)
    if delivery.status is DeliveryStatus.PENDING:
        set_time(message.next_attempt_at, delivery.due_at)
    if delivery.delivered_at is not None:
        set_time(message.delivered_at, delivery.delivered_at)
    return message


def delivery_list(found: Sequence[WebhookDelivery], total: int) -> webhook_pb2.WebhookDeliveryList:
    """Return the public resource."""
    return webhook_pb2.WebhookDeliveryList(deliveries=map(delivery_message, found), total=total)


def replay_message(result: WebhookReplayResult) -> webhook_pb2.WebhookReplayResult:
    """Return the public resource."""
    return webhook_pb2.WebhookReplayResult(
        replayed=result.replayed, has_more=result.has_more, last_event_id=result.last_event_id or None
    )


def webhook_refusal_of(error: Exception) -> Refusal | None:  # noqa: C901, PLR0911  # a table
    """Return how the exceptions of webhooks are told."""
    match error:
        case WebhookFieldError():
            return _wrong(error.fault)
        case UrlRefusedError():
            return _wrong(FieldFault("url", str(error)))
        case VehicleNotReadableError():
            return Refusal(errors.RESOURCE_NOT_FOUND, RESOURCE_NOT_FOUND_DETAIL)
        case OtherWebhookBodyError():
            return Refusal(
                errors.CORRELATION_ID_REUSED,
                "This correlation id registered the webhook with another body. Use a new one.",
            )
        case TooManyWebhooksError():
            return Refusal(
                REASONS["TOO_MANY_WEBHOOKS"],
                f"You have registered {error.most} webhooks, as many as one may. Delete one first.",
            )
        case WebhookUnknownError():
            return Refusal(REASONS["WEBHOOK_NOT_FOUND"], "You have no webhook of this id.")
        case WebhookNotActiveError():
            return Refusal(
                REASONS["WEBHOOK_NOT_ACTIVE"],
                "The webhook is sent nothing now. Have a look at its state, and enable it.",
            )
        case WebhookStoppedError():
            return Refusal(REASONS["WEBHOOK_STOPPED"], "The operator has stopped this webhook. Ask them.")
        case WebhookEventUnknownError():
            return Refusal(
                REASONS["WEBHOOK_EVENT_NOT_FOUND"],
                "The webhook has no such event, or has it no more. Replay since a time instead.",
            )
        case NotKnownNowError():
            return Refusal(
                errors.DEPENDENCY_UNAVAILABLE, "A part of the service is away; send the request again later."
            )
        case _:
            return None


def _wrong(fault: FieldFault) -> Refusal:
    return Refusal(
        errors.INVALID_REQUEST,
        "The request is wrong; `errors` says where. Correct it and send it again.",
        violations=[Violation(fault.field, fault.reason)],
    )
