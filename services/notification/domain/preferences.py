"""What a person wants to be told, in which language, and when it can wait."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

from services.notification.domain.notices import CAN_WAIT, NoticeKind

if TYPE_CHECKING:
    from collections.abc import Collection

LANGUAGES = ("en", "ko")
MINUTES_OF_DAY = 24 * 60


class PreferencesRefusedError(Exception):
    """What is wanted cannot be: the field, and why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field, self.reason = field, reason


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Minutes since midnight, 0 to 1439, on the person's own clock; over midnight where `until` is not later."""

    begins: int
    until: int


@dataclass(frozen=True, slots=True)
class IgnoredPlace:
    """Where a vehicle stands now and no reminder about it is wanted; None is until it drives off."""

    name: str
    vin: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Preferences:
    """A person's. `off` are the kinds that they have turned off; `reminder_minutes` None is the operator's."""

    off: frozenset[NoticeKind] = frozenset()
    language: str = LANGUAGES[0]
    time_zone: str = "UTC"
    quiet: QuietHours | None = None
    reminder_minutes: int | None = None
    places: tuple[IgnoredPlace, ...] = ()

    def check(self) -> None:
        """Raise PreferencesRefusedError for what cannot be."""
        if not is_time_zone(self.time_zone):
            raise PreferencesRefusedError("timeZone", "is no time zone of the IANA database")
        if self.quiet is not None and self.quiet.begins == self.quiet.until:
            raise PreferencesRefusedError("quietHours.until", "is when they begin; they would never end")

    def ignores(self, vin: str, at: datetime) -> bool:
        """Return whether the vehicle stands where no reminder is wanted."""
        return any(each.vin == vin and (each.until is None or at < each.until) for each in self.places)

    def wants(self, kind: NoticeKind) -> bool:
        """Return whether notices of this kind are wanted."""
        return kind not in self.off

    def quiet_until(self, kind: NoticeKind, at: datetime) -> datetime | None:
        """Return when the quiet hours end that hold back a notice of this kind now; None when none do."""
        if self.quiet is None or kind not in CAN_WAIT:
            return None
        local = self.local(at)
        minute = local.hour * 60 + local.minute
        length = (self.quiet.until - self.quiet.begins) % MINUTES_OF_DAY
        if (minute - self.quiet.begins) % MINUTES_OF_DAY >= length:
            return None
        left = (self.quiet.until - minute) % MINUTES_OF_DAY
        end = local.replace(second=0, microsecond=0, tzinfo=None) + timedelta(minutes=left)
        # On the wall clock: a night in which the clock is put back or forward ends when it reads `until`.
        ends = end.replace(tzinfo=local.tzinfo).astimezone(UTC)
        return ends if ends > at else at + timedelta(minutes=1)

    def local(self, at: datetime) -> datetime:
        """Return the moment on the person's own clock."""
        return at.astimezone(ZoneInfo(self.time_zone))


def is_time_zone(name: str) -> bool:
    """Return whether the IANA database knows a time zone of this name."""
    return name in _zones()


@lru_cache(maxsize=1)
def _zones() -> Collection[str]:
    return available_timezones()
