"""Whether a vehicle can be reached, and if not why. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ReachabilityState(StrEnum):
    """Whether a vehicle can be reached, as far as is known."""

    ONLINE = "ONLINE"
    ASLEEP = "ASLEEP"
    LOST = "LOST"
    NEVER_CONNECTED = "NEVER_CONNECTED"
    REMOTE_ACCESS_DISABLED = "REMOTE_ACCESS_DISABLED"
    PRIVACY_MODE = "PRIVACY_MODE"

    @property
    def needs_wake_up(self) -> bool:
        """Whether a command sends it a wake-up."""
        return self in {ReachabilityState.ASLEEP, ReachabilityState.LOST}


@dataclass(frozen=True, slots=True)
class LastSign:
    """What the last report of a vehicle says of that; times are microseconds since 1970. `stale_at_us` is when it is
    too old where the vehicle says no more.
    """

    received_at_us: int
    stale_at_us: int
    asleep: bool
    shut_off: ReachabilityState | None = None
    """REMOTE_ACCESS_DISABLED or PRIVACY_MODE, where its people have switched that in the vehicle."""


@dataclass(frozen=True, slots=True)
class VehicleReach:
    """Whether a vehicle can be reached, and since when; None where that is not known. Times are microseconds since
    1970. `wake_up_at_us` is when it may be woken.
    """

    state: ReachabilityState
    since_us: int | None = None
    wake_up_at_us: int | None = None


def reach_of(
    last: LastSign | None, now_us: int, *, lost_at_us: int | None, cloud_is_cut_off: bool
) -> VehicleReach:
    """Return it from the last report. `lost_at_us` is when its connection broke, or a command of it was not answered,
    since then.
    """
    if last is None:
        return VehicleReach(ReachabilityState.NEVER_CONNECTED)
    if last.shut_off is not None or last.asleep:
        # Whether one that is shut off sleeps or is lost besides makes no difference to who asks: it would refuse.
        return VehicleReach(last.shut_off or ReachabilityState.ASLEEP, last.received_at_us)
    if lost_at_us is not None or last.stale_at_us < now_us:
        return VehicleReach(ReachabilityState.LOST, last.stale_at_us if lost_at_us is None else lost_at_us)
    if cloud_is_cut_off:
        return VehicleReach(ReachabilityState.LOST)
    return VehicleReach(ReachabilityState.ONLINE, last.received_at_us)
