"""What the use cases need of the outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from services.notification.domain.devices import CheckedDevice, RegisteredDevice
    from services.notification.domain.doors import DoorNews, DoorsUnknown, LeftCondition
    from services.notification.domain.messages import PushDevice, PushKind, PushMessage, PushResult
    from services.notification.domain.notices import Notice
    from services.notification.domain.preferences import Preferences
    from services.notification.usecases.webhook_ports import EventForWebhooks


class PushSender(Protocol):
    """One push service. Calls may run at the same time; how many, and for how long each, the sender bounds."""

    async def send(self, device: PushDevice, message: PushMessage) -> PushResult:
        """Send one message, and return what became of it.

        What the push service or the network does is an outcome and never an exception: a peer that hangs, resets or
        answers nonsense is `LATER`. It is sent again by the caller, with the same id.
        """

    async def close(self) -> None:
        """End its connections."""


class NotKnownNowError(Exception):
    """Another service cannot say now who is to be told."""


@dataclass(frozen=True, slots=True)
class VehiclePerson:
    """What somebody is to a vehicle at this moment."""

    principal: str
    is_owner: bool
    reads_status: bool
    reads_diagnostics: bool


class People(Protocol):
    """Who is to be told. Both raise NotKnownNowError."""

    async def of_vehicle(self, vin: str, also: str = "") -> Mapping[str, VehiclePerson]:
        """Return who has a right on the vehicle now, by principal: some hundred at most, and `also` this one."""

    async def who_gave(self, command_ids: Collection[str]) -> Mapping[str, str]:
        """Return for whom each of these commands was given, 100 at most; those that are not known are left out."""


class DeviceRecord(Protocol):
    """People's devices and what they want. Every function raises StorageUnavailableError."""

    async def register(self, person: str, device: CheckedDevice, most: int, at: datetime) -> RegisteredDevice:
        """Keep it as this person's, whoever's its token was. A new one is told to their other devices; one that is
        reached otherwise than before is told to them, and to where it was reached.

        Raises TooManyDevicesError when it would be more than `most`.
        """

    async def listed(self, person: str) -> list[RegisteredDevice]:
        """Return a person's devices, the oldest first."""

    async def delete(self, person: str, device_id: str, at: datetime) -> list[RegisteredDevice]:
        """Let go of it and of what waits for it, and tell it and those that are left, which are returned."""

    async def preferences(self, person: str) -> Preferences:
        """Return what they want."""

    async def set_preferences(self, person: str, wanted: Preferences, at: datetime) -> None:
        """Replace what they want."""


@dataclass(frozen=True, slots=True)
class WaitingNotice:
    """A notice that nobody is told of yet; None where its row says nothing. `attempts` counts this one."""

    event_id: str
    attempts: int
    notice: Notice | None


@dataclass(frozen=True, slots=True)
class DuePush:
    """What is to be sent to a device now; None for what is gone or says nothing. `attempts` counts this one, `host`
    is whose places it takes at its push service.
    """

    event_id: str
    device_name: str
    person: str
    attempts: int
    notice: Notice | None
    device: PushDevice | None
    wanted: Preferences
    host: str = ""


class NoticeRecord(Protocol):
    """What happened, and the outbox of pushes. Every function raises StorageUnavailableError."""

    async def waiting(self, at: datetime, most: int) -> list[WaitingNotice]:
        """Take some that nobody is told of yet; for a while nobody else does."""

    async def with_devices(self, people: Collection[str]) -> frozenset[str]:
        """Return those of these people who have a device."""

    async def address(self, notice: Notice, people: Sequence[str], at: datetime) -> int:
        """Make a push for each device of these people that wants it, once; return how many."""

    async def postpone(self, event_id: str, until: datetime) -> None:
        """Look at it again then."""

    async def set_aside(self, event_id: str, at: datetime, reason: str) -> None:
        """Tell nobody of it any more."""

    async def due(
        self,
        kind: PushKind,
        at: datetime,
        most: int,
        *,
        full: Collection[str],
        take: Callable[[str], bool],
    ) -> list[DuePush]:
        """Take some that are to be sent by this push service; for a while nobody else does.

        None for hosts in `full`, and of others those that `take` says there is room for.
        """

    async def still_waits(self, push: DuePush) -> bool:
        """Return whether it is still to be sent, and taken by nobody else since."""

    async def delivered(self, push: DuePush, at: datetime) -> None:
        """Let go of it as of what is sent, and keep that the device shows it until its end is told."""

    async def sent(self, push: DuePush) -> None:
        """Let go of it, and of the device where it was told that it is one no more."""

    async def send_later(self, push: DuePush, at: datetime, *, counts: bool) -> None:
        """Send it then; unless it `counts`, as if it had not been tried."""

    async def set_push_aside(self, push: DuePush, reason: str) -> None:
        """Send it no more."""

    async def device_gone(self, device: PushDevice) -> None:
        """Let go of the device and all that waits for it, unless it has another token by now."""

    async def access_ended(self, vin: str, person: str, at: datetime, *, everybody_else: bool) -> None:
        """Let go of what is kept since before `at` for this person and vehicle, or with `everybody_else` for all
        others.
        """


@dataclass(frozen=True, slots=True)
class StandingCondition:
    """What a vehicle has been left in; `told` are those who were reminded."""

    vin: str
    condition: LeftCondition
    since: datetime
    doors: tuple[str, ...]
    told: frozenset[str]


class UpdateRecord(Protocol):
    """What comes from live updates, and the reminders. Every function raises StorageUnavailableError."""

    async def ingest(
        self,
        notices: Sequence[Notice],
        changes: Sequence[DoorNews | DoorsUnknown],
        at: datetime,
        events: Sequence[EventForWebhooks] = (),
    ) -> int:
        """Keep new notices, how doors stand after these changes, in the order in which they stand there, and what
        webhooks are sent, in one commit. Return how many notices are new.
        """

    async def due_conditions(self, at: datetime, most: int) -> list[StandingCondition]:
        """Take some that somebody may have to be reminded of; for a while nobody else does."""

    async def wanted(self, people: Sequence[str]) -> Mapping[str, Preferences]:
        """Return what those of these people want who have a device."""

    async def remind(
        self,
        condition: StandingCondition,
        notices: Sequence[Notice],
        next_look_at: datetime | None,
        at: datetime,
    ) -> None:
        """Keep these reminders, and when to look again, unless the condition has ended meanwhile."""
