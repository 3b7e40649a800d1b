"""What webhooks need of the outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from services.notification.domain.webhooks import Registrant

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime, timedelta

    from services.notification.domain.webhooks import (
        Backlog,
        CallResult,
        DeliveryStatus,
        DisabledReason,
        DisableRule,
        Webhook,
        WebhookEvent,
        WebhookState,
        WebhookWish,
    )


@dataclass(frozen=True, slots=True)
class WebhookCall:
    """One call of a URL: the message's id and JSON, and the sealed secrets that sign it. `is_answered` where the
    answer's body is read; else it counts with its headers.
    """

    webhook: str
    url: str
    message_id: str
    body: str
    secrets: tuple[bytes, ...]
    is_answered: bool = False


class WebhookCaller(Protocol):
    """Calls URLs."""

    async def check(self, url: str) -> None:
        """Raise UrlRefusedError for a URL that may not be called, by its form or by where it leads now."""

    async def call(self, call: WebhookCall, seconds: float | None = None) -> CallResult:
        """Post it and return what became of it, within `seconds` (None: as long as a call may take). What the URL or
        the network does is a result and never an exception.
        """

    def new_secret(self, webhook: str) -> tuple[str, bytes]:
        """Return a secret as it is shown, and sealed as it is kept."""

    def shown_secret(self, webhook: str, sealed: bytes) -> str:
        """Return a sealed secret as it is shown; nothing where it was sealed under another key."""


class ReadQuestion(NamedTuple):
    """Whether a registrant may read this vehicle's updates now, as an owner where that is asked."""

    registrant: Registrant
    vin: str
    owners_only: bool
    occurred_at: datetime


class ReadRight(NamedTuple):
    """Since when somebody may read a vehicle's updates, and whether as an owner."""

    since: datetime
    is_owner: bool


class ReadingRights(Protocol):
    """Who may read what, at this moment. Raises NotKnownNowError."""

    async def may_read(self, asked: ReadQuestion) -> bool:
        """Return whether they may, and might when it happened."""

    async def rights_on(self, registrant: Registrant, vins: Collection[str]) -> dict[str, ReadRight]:
        """Return what they have on those of these vehicles whose updates they may read now."""

    async def vehicles_of(self, principal: str) -> list[str]:
        """Return the VINs on which somebody has a right, or may come to have one."""


class RegisteredWebhook(NamedTuple):
    """A webhook, and its secret where it is to be shown."""

    webhook: Webhook
    sealed_secret: bytes | None = None


class WebhookReplayResult(NamedTuple):
    """How many events are sent once more, whether there are more, and the last of them."""

    replayed: int
    has_more: bool
    last_event_id: str


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """One event on its way to one webhook."""

    event_id: str
    event_type: str
    vin: str
    occurred_at: datetime
    status: DeliveryStatus
    attempts: int
    due_at: datetime
    last_attempt_at: datetime | None = None
    response_status: int | None = None
    failure: str = ""
    delivered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """What is to be sent to a webhook now. `attempts` counts this one."""

    key: str
    webhook: Webhook
    event: WebhookEvent
    attempts: int
    expires_at: datetime
    secrets: tuple[bytes, ...]


class WebhookInterest(NamedTuple):
    """One webhook as far as it decides which events it is sent."""

    webhook: str
    registrant: Registrant
    event_types: frozenset[str]
    vins: frozenset[str]
    """Of a webhook for all of its registrant's vehicles: these, as they are known."""
    state: WebhookState
    is_for_all: bool = False


class EventForWebhooks(NamedTuple):
    """An event, and the webhooks that want to hear of it."""

    event: WebhookEvent
    webhooks: list[WebhookInterest]


class OwnMessages(Protocol):
    """What a webhook is sent of itself."""

    def challenge(self, webhook: Webhook, at: datetime) -> tuple[WebhookEvent, str]:
        """Return a challenge, and the value that answers it."""

    def answers(self, body: bytes, value: str) -> bool:
        """Return whether this answers a challenge of this value."""

    def test(self, webhook: Webhook, correlation_id: str, at: datetime) -> WebhookEvent:
        """Return a test, the same for the same correlation id."""

    def heartbeat(self, webhook: Webhook, backlog: Backlog, every: timedelta, at: datetime) -> WebhookEvent:
        """Return that this waits, which is told so often."""

    def disabled(self, webhook: Webhook) -> WebhookEvent:
        """Return that another webhook, this one, is disabled: the same each time for the same disabling."""


class WebhookRecord(Protocol):
    """Webhooks as they are kept. Every function raises StorageUnavailableError."""

    async def register(
        self,
        registrant: Registrant,
        name: str,
        wish: WebhookWish,
        correlation_id: str,
        *,
        most: int,
        vehicles: Collection[str],
        at: datetime,
    ) -> RegisteredWebhook:
        """Keep it; see usecases.webhooks. `vehicles` are the registrant's, where it is for all of them. Raises
        TooManyWebhooksError, OtherWebhookBodyError.
        """

    async def listed(self, registrant: Registrant) -> list[tuple[Webhook, Backlog]]:
        """Return a registrant's, the oldest first."""

    async def found(self, registrant: Registrant, name: str) -> tuple[Webhook, Backlog]:
        """Return one. Raises WebhookUnknownError."""

    async def delete(self, registrant: Registrant, name: str, at: datetime) -> None:
        """Let go of it and of what waits for it."""

    async def rotate(
        self, registrant: Registrant, name: str, correlation_id: str, at: datetime
    ) -> RegisteredWebhook:
        """Make a new secret, once for each correlation id. Raises WebhookUnknownError."""

    async def challenge_again(self, registrant: Registrant, name: str, at: datetime) -> Webhook:
        """Have its URL challenged, unless it is ACTIVE. Raises WebhookUnknownError, WebhookStoppedError."""

    async def add_own_event(self, webhook: Webhook, event: WebhookEvent, at: datetime) -> WebhookDelivery:
        """Send it an event of its own, once. Raises WebhookNotActiveError."""

    async def vehicles_told_of(self, registrant: Registrant, name: str) -> list[str]:
        """Return the VINs of which it has deliveries. Raises WebhookUnknownError."""

    async def readable_backlog(self, webhook: Webhook, rights: Mapping[str, ReadRight]) -> Backlog:
        """Return what waits for it of what these rights let them read."""

    async def deliveries(
        self,
        registrant: Registrant,
        name: str,
        status: DeliveryStatus | None,
        limit: int,
        offset: int,
        rights: Mapping[str, ReadRight],
    ) -> tuple[list[WebhookDelivery], int]:
        """Return some of this status, the newest event first, and how many there are: of what these rights let them
        read. Raises WebhookUnknownError.
        """

    async def replay(
        self,
        registrant: Registrant,
        name: str,
        correlation_id: str,
        *,
        after: str,
        since: datetime | None,
        at: datetime,
        rights: Mapping[str, ReadRight],
    ) -> WebhookReplayResult:
        """Send once more what came after the event `after`, or happened `since` then, of what these rights let them
        read. Raises WebhookUnknownError, WebhookNotActiveError, WebhookEventUnknownError.
        """


class WebhookPlace(NamedTuple):
    """Which webhook, among everybody's; they are in the order of these."""

    principal: str
    key_id: str
    name: str

    @property
    def registrant(self) -> Registrant:
        """Whose it is."""
        return Registrant(self.principal, self.key_id)


class OperatedWebhookRecord(Protocol):
    """Everybody's webhooks as operators have them. Every function raises StorageUnavailableError."""

    async def page(
        self, principal: str, most: int, after: WebhookPlace | None
    ) -> tuple[list[tuple[Webhook, Backlog]], WebhookPlace | None]:
        """Return at most so many of everybody's, or of this principal's, that come `after`; and the place after which
        there are more, None when that was all.
        """

    async def stop(self, place: WebhookPlace, reason: str, at: datetime) -> tuple[Webhook, Backlog]:
        """Disable it until an operator enables it, and have the registrant's others told of it; nothing is sent where
        it was stopped before. Raises WebhookUnknownError.
        """

    async def enable(self, place: WebhookPlace, at: datetime) -> tuple[Webhook, Backlog]:
        """Have its URL challenged where an operator stopped it. Raises WebhookUnknownError."""


class WebhookInterestRecord(Protocol):
    """What decides which events are kept for whom. Every function raises StorageUnavailableError."""

    async def version(self) -> int:
        """Return what changes whenever an interest does."""

    async def interests(self) -> list[WebhookInterest]:
        """Return those of all webhooks."""

    async def people_with_all(self, read_before: datetime, most: int) -> list[str]:
        """Return principals with a webhook for all of their vehicles, whose vehicles were last read before then."""

    async def set_vehicles(self, principal: str, vins: Collection[str], at: datetime) -> None:
        """Keep which vehicles somebody has, as far as they have a webhook for all of them."""


class DueChallenge(NamedTuple):
    """A webhook whose URL is to be challenged. `attempts` counts this one."""

    webhook: Webhook
    attempts: int
    secrets: tuple[bytes, ...]


class DueHeartbeat(NamedTuple):
    """A webhook that is to be told what waits."""

    webhook: Webhook
    backlog: Backlog
    secrets: tuple[bytes, ...]


class WebhookOutbox(Protocol):
    """What waits to be sent. Every function raises StorageUnavailableError. Where one of them disables a webhook, the
    registrant's others that are ACTIVE are sent that with it.
    """

    async def due(
        self,
        at: datetime,
        most: int,
        *,
        full: Collection[str],
        take: Callable[[str], bool],
    ) -> list[DueDelivery]:
        """Take some that are to be sent: for a while nobody else does. None for hosts in `full`, and of others those
        that `take` says there is room for. Of a vehicle, one at a time for each webhook, the first first.
        """

    async def delivered(self, due: DueDelivery, status: int | None, at: datetime) -> None:
        """Note that it was taken. What waits because its URL failed is due at once."""

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
        """Note that it was not; it is tried again after `pause`, and its URL not before `rest`. Return why the webhook
        is disabled by it.
        """

    async def not_allowed(self, due: DueDelivery, at: datetime) -> None:
        """Let go of it: the right to it, or the wish for it, is gone, and with it what there is to show of it."""

    async def put_off(self, due: DueDelivery, until: datetime) -> None:
        """Look at it again then, as if it had not been taken."""

    async def challenges(
        self, at: datetime, most: int, *, full: Collection[str], take: Callable[[str], bool]
    ) -> list[DueChallenge]:
        """Take some URLs that are to be challenged, of hosts as `due` does: for a while nobody else does."""

    async def challenge_answered(self, webhook: Webhook, at: datetime) -> None:
        """Make it ACTIVE, unless its URL is another one by now."""

    async def challenge_failed(
        self, webhook: Webhook, failure: str, again_at: datetime | None, at: datetime
    ) -> DisabledReason | None:
        """Challenge it then, or, without a time, disable it; return why it is disabled, where it is."""

    async def heartbeats(
        self,
        at: datetime,
        every: timedelta,
        most: int,
        *,
        full: Collection[str],
        take: Callable[[str], bool],
    ) -> list[DueHeartbeat]:
        """Take some that are to be told what waits, of hosts as `due` does; the next time after `every`."""

    async def heartbeat_done(
        self, webhook: Webhook, result: CallResult, *, rest: timedelta, rule: DisableRule, at: datetime
    ) -> DisabledReason | None:
        """Note what became of it, as of a delivery; one that is taken ends no failing of deliveries that wait."""

    async def give_up(self, at: datetime) -> None:
        """Give up what was tried for too long."""

    async def disable_crowded(self, at: datetime, most_waiting: int) -> list[tuple[Webhook, DisabledReason]]:
        """Disable webhooks for which more waits, and hold what does; return those."""
