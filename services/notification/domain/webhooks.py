"""What a webhook is, what it is sent, and when what failed is tried again. Rules only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

DOOR_STATUS, COMMAND_UPDATED, COMMAND_FINISHED = "door.status.updated", "command.updated", "command.finished"
SYSTEM_ALERT, ACCESS_CHANGED = "system.alert", "access.changed"
EVENT_TYPES = (DOOR_STATUS, COMMAND_UPDATED, COMMAND_FINISHED, SYSTEM_ALERT, ACCESS_CHANGED)
"""What a webhook may choose from."""
CHALLENGE, TEST = "webhook.challenge", "webhook.test"
HEARTBEAT, DISABLED = "webhook.heartbeat", "webhook.disabled"
FINISHED = frozenset({"SUCCESS", "FAILED", "TIMEOUT", "CANCELLED"})

SECRET_OVERLAP = timedelta(hours=24)
"""So long the secret before a new one signs, too."""
CHALLENGE_PAUSES = (timedelta(seconds=5), timedelta(seconds=30))
"""After these an unanswered challenge is sent again, and then no more."""
RETRY_PAUSES = (
    *(timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=10)),
    *(timedelta(minutes=30), timedelta(hours=1), timedelta(hours=2), timedelta(hours=4)),
)
"""After these what failed is tried again, and then every LAST_PAUSE until it is given up."""
LAST_PAUSE = timedelta(hours=6)
LONGEST_REST = timedelta(minutes=15)
"""A URL that fails is tried so often at least, with something."""
LONGEST_WISH = timedelta(hours=1)
"""A URL is left alone for so long at most when it asks for that (Retry-After)."""
_LEAST_JITTER, _JITTER = 0.9, 0.2


class WebhookState(StrEnum):
    """Whether it is sent anything."""

    PENDING = "PENDING"
    """Its URL has not answered its challenge."""
    ACTIVE = "ACTIVE"
    DISABLED = "DISABLED"


class DisabledReason(StrEnum):
    """Why it is sent nothing."""

    CHALLENGE_FAILED = "CHALLENGE_FAILED"
    GONE = "GONE"
    FAILING = "FAILING"
    OPERATOR = "OPERATOR"
    BACKLOG = "BACKLOG"


class DeliveryStatus(StrEnum):
    """What became of an event for one webhook."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    HELD = "HELD"
    """It happened while the webhook was disabled."""


class CallOutcome(StrEnum):
    """What became of one call of a URL."""

    TAKEN = "TAKEN"
    FAILED = "FAILED"
    GONE = "GONE"


@dataclass(frozen=True, slots=True)
class CallResult:
    """How a URL answered: `status` is HTTP's, None where nothing came; `failure` a word, empty where nothing is wrong;
    `retry_after` in seconds, as it asked for; `body` its answer, as much of it as is read.
    """

    outcome: CallOutcome
    status: int | None = None
    failure: str = ""
    retry_after: float | None = None
    body: bytes = b""
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Registrant:
    """Who registers webhooks: a person or a partner, and the API key where they came with one: what it has is apart."""

    principal: str
    key_id: str = ""


@dataclass(frozen=True, slots=True)
class WebhookWish:
    """What a webhook is to be. No types mean all, no VINs all vehicles of the registrant's."""

    url: str
    event_types: tuple[str, ...] = ()
    vins: tuple[str, ...] = ()
    description: str = ""

    def has(self, event: WebhookEvent) -> bool:
        """Return whether it is to be sent this; what is about no vehicle, always."""
        is_of_type = not self.event_types or event.type in self.event_types
        return not event.vin or (is_of_type and (not self.vins or event.vin in self.vins))


@dataclass(frozen=True, slots=True)
class Webhook:
    """One that is registered. `id` is random and never leaves this service; `name` is the registrant's for it."""

    id: str
    registrant: Registrant
    name: str
    wish: WebhookWish
    state: WebhookState
    registered_at: datetime
    updated_at: datetime
    disabled_reason: DisabledReason | None = None
    disabled_at: datetime | None = None
    last_failure: str = ""
    last_delivered_at: datetime | None = None
    previous_secret_until: datetime | None = None
    failures: int = 0
    """In a row."""
    failing_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for a webhook."""

    waiting: int = 0
    oldest_at: datetime | None = None
    next_attempt_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """Something that webhooks are sent. `key` is the same however often it comes; `shown_id` is what it is sent under;
    `position` orders events; with `owners_only` it is for a vehicle's owners alone. `body` is the JSON that is sent.
    """

    key: str
    shown_id: str
    type: str
    vin: str
    occurred_at: datetime
    position: int
    body: str
    owners_only: bool = False


@dataclass(frozen=True, slots=True)
class DisableRule:
    """When a URL that fails is not tried any more: so many failures in a row, over so long at least."""

    failures: int
    over: timedelta

    def is_met(self, failures: int, since: datetime, at: datetime) -> bool:
        """Return whether a URL that has failed so often since then is given up."""
        return failures >= self.failures and at - since >= self.over


class VehicleNotReadableError(Exception):
    """The registrant may not read the updates of a vehicle; whether there is one does not show."""


class UrlRefusedError(Exception):
    """A URL may not be called; the text says why."""


class TooManyWebhooksError(Exception):
    """The registrant has as many webhooks as one may have."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.most = most


class WebhookUnknownError(Exception):
    """None of the registrant's webhooks has this name."""


class WebhookNotActiveError(Exception):
    """The webhook is sent nothing now."""


class WebhookStoppedError(Exception):
    """The operator has stopped it."""


class WebhookEventUnknownError(Exception):
    """The webhook has no such event, or has it no more."""


class OtherWebhookBodyError(Exception):
    """The correlation id was used with another body."""


def pause_after(attempts: int, luck: float) -> timedelta:
    """Return how long to wait after so many attempts (1 and more) have failed; `luck` is 0 to 1: the waiting times of
    many are spread over a tenth to either side.
    """
    usual = RETRY_PAUSES[attempts - 1] if attempts <= len(RETRY_PAUSES) else LAST_PAUSE
    return usual * (_LEAST_JITTER + _JITTER * luck)


def rest_after(failures: int, luck: float, retry_after: float | None = None) -> timedelta:
    """Return how long a URL is left alone that has failed so often in a row, and asks for so many seconds."""
    rest = min(LONGEST_REST, pause_after(failures, luck))
    if retry_after is not None:
        rest = max(rest, min(LONGEST_WISH, timedelta(seconds=max(0.0, retry_after))))
    return rest
