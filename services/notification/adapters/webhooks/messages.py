"""What webhooks are sent, as JSON: live updates in their readers' words, and what a webhook is told of itself."""

from __future__ import annotations

import hmac
import json
import secrets
from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.door.v1 import door_command_pb2, webhook_pb2
from google.protobuf.json_format import MessageToDict

from protocol.subjects import origin_of_update
from services.live_updates.documents import accepted_update, document_of
from services.live_updates.origins import is_for_owners
from services.notification.domain.notices import event_id_of
from services.notification.domain.webhooks import (
    ACCESS_CHANGED,
    CHALLENGE,
    COMMAND_FINISHED,
    COMMAND_UPDATED,
    DISABLED,
    DOOR_STATUS,
    FINISHED,
    HEARTBEAT,
    SYSTEM_ALERT,
    TEST,
    WebhookEvent,
)
from services.platform.times import microseconds, shown_time, time_text

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from ecarus.remotecontrol.door.v1.door_update_pb2 import DoorUpdate

    from services.notification.domain.webhooks import Backlog, Webhook

_CHALLENGE_BYTES = 32
_TEST_TEXT = "This is a test. It is about no vehicle."
_REASON = webhook_pb2.WebhookDisabledReason.Value.Value


def update_event(
    key: str, shown_id: str, payload: bytes, subject: str, arrived_at: datetime, position: int
) -> WebhookEvent | None:
    """Return a live update as webhooks are sent it; None of what is not its publisher's to tell. It happened when it
    came: no vehicle's clock decides who may read it. Raise DecodeError or ValueError when it is none.
    """
    update = accepted_update(payload, subject)
    if update is None:
        return None
    document = document_of(update)
    kind = _type_of(update, subject)
    whole = {
        "type": kind,
        "timestamp": document["timestamp"],
        "data": {"id": shown_id, **document},
    }
    return WebhookEvent(
        key,
        shown_id,
        kind,
        update.vin,
        arrived_at,
        position,
        _text(whole),
        owners_only=is_for_owners(origin_of_update(subject)),
    )


def _type_of(update: DoorUpdate, subject: str) -> str:
    match update.WhichOneof("data"):
        case "door_status":
            return DOOR_STATUS
        case "command_status":
            status = door_command_pb2.CommandStatus.Value.Name(update.command_status.status)
            return COMMAND_FINISHED if status in FINISHED else COMMAND_UPDATED
        case _:
            return ACCESS_CHANGED if is_for_owners(origin_of_update(subject)) else SYSTEM_ALERT


class WebhookMessages:
    """usecases.webhook_ports.OwnMessages."""

    def challenge(self, webhook: Webhook, at: datetime) -> tuple[WebhookEvent, str]:
        """Return a challenge, and the value that answers it."""
        value = secrets.token_urlsafe(_CHALLENGE_BYTES)
        data = webhook_pb2.WebhookChallenge(webhook_id=webhook.name, challenge=value)
        return _own(CHALLENGE, f"chl_{secrets.token_hex(12)}", data, at), value

    def answers(self, body: bytes, value: str) -> bool:
        """Return whether this answers a challenge of this value."""
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            return False
        said = answer.get("challenge") if isinstance(answer, dict) else None
        return isinstance(said, str) and hmac.compare_digest(said.encode(errors="replace"), value.encode())

    def test(self, webhook: Webhook, correlation_id: str, at: datetime) -> WebhookEvent:
        """Return a test, the same for the same correlation id."""
        data = webhook_pb2.WebhookTest(webhook_id=webhook.name, message=_TEST_TEXT)
        return _own(TEST, f"tst_{event_id_of(webhook.id, correlation_id)[:24]}", data, at)

    def heartbeat(self, webhook: Webhook, backlog: Backlog, every: timedelta, at: datetime) -> WebhookEvent:
        """Return that this waits, which is told so often."""
        oldest = 0 if backlog.oldest_at is None else max(0, int((at - backlog.oldest_at).total_seconds()))
        data = webhook_pb2.WebhookHeartbeat(
            webhook_id=webhook.name,
            waiting=backlog.waiting,
            oldest_waiting_seconds=oldest,
            interval_seconds=int(every.total_seconds()),
        )
        return _own(HEARTBEAT, f"hbt_{secrets.token_hex(12)}", data, at)

    def disabled(self, webhook: Webhook) -> WebhookEvent:
        """Return that another webhook, this one, is disabled: the same each time for the same disabling."""
        at, reason = webhook.disabled_at, webhook.disabled_reason
        if at is None or reason is None:
            raise ValueError("this webhook is not disabled")
        data = webhook_pb2.WebhookDisabled(
            webhook_id=webhook.name, url=webhook.wish.url, reason=_REASON(reason.value)
        )
        return _own(DISABLED, f"dis_{event_id_of(webhook.id, str(microseconds(at)))[:24]}", data, at)


def _own(kind: str, shown_id: str, data: Any, at: datetime) -> WebhookEvent:
    members = MessageToDict(data, always_print_fields_with_no_presence=True)
    whole = {"type": kind, "timestamp": time_text(shown_time(at)), "data": members}
    return WebhookEvent(shown_id, shown_id, kind, "", at, microseconds(at) * 1_000, _text(whole))


def _text(whole: dict[str, Any]) -> str:
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))
