"""What can be wished of this room: take in reports, look at a status, watch updates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from services.status.domain import (
    Bounds,
    Check,
    Heartbeat,
    LogUnavailable,
    NotYetReported,
    Position,
    Report,
    Reset,
    Update,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from services.status.hub import Watcher


class ReportStore(Protocol):
    """Keeps the newest report of each vehicle."""

    async def take_reports(self, reports: Sequence[Report], received_at_us: int) -> dict[str, Report]:
        """Keep what is newer than what is known, with the updates that tell of it, in one commit.

        Returns the newest report of each vehicle that had a newer one.
        """


class StatusReader(Protocol):
    """Finds the last report of a vehicle."""

    async def last_report(self, vin: str) -> tuple[bytes, int] | None:
        """The serialized report and when it came, microseconds since 1970; None before the first."""


class ConditionHints(Protocol):
    """Hears of what stands in a command's way."""

    def consider(self, reports: Iterable[Report]) -> None:
        """Tell of what these vehicles' states forbid. Never fails: it is a hint."""


class CheckRecorder(Protocol):
    """Tells the history of looks at statuses."""

    def record(self, check: Check) -> None:
        """Take it in; it is durable soon. Raises StorageUnavailable when too many wait already."""


class UpdateLog(Protocol):
    """What was published before."""

    async def bounds(self) -> Bounds:
        """What is kept now. Raises LogUnavailable."""

    async def next_after(self, vin: str, position: Position) -> Update | None:
        """The vehicle's first update after `position`; None when there is none. Raises LogUnavailable."""


async def take_reports(
    store: ReportStore, hints: ConditionHints, reports: Sequence[Report], now_us: int
) -> None:
    """Take in a batch of reports, in the order they came. The same batch twice changes nothing."""
    if reports:
        latest = await store.take_reports(reports, now_us)
        hints.consider(latest.values())


async def look_at_status(reader: StatusReader, vin: str) -> tuple[bytes, int]:
    """The last report of a vehicle and when it came. Raises NotYetReported."""
    found = await reader.last_report(vin)
    if found is None:
        raise NotYetReported
    return found


async def watch_updates(
    log: UpdateLog, watcher: Watcher, after: Position | None
) -> AsyncGenerator[Update | Reset | Heartbeat, None]:
    """A vehicle's updates as they happen: first what came after `after`, then live.

    No gap, no duplicate, no reorder. Begins with Reset when `after` is not kept any more. The watcher
    is in the hub already, so what happens during the replay waits in its queue. Raises StreamEnded,
    LogUnavailable.
    """
    live_after = watcher.joined_at
    if after is not None:
        bounds = await log.bounds()
        if bounds.epoch != live_after.epoch:
            raise LogUnavailable  # the log was made anew, and the hub has yet to find it
        kept = (
            after.epoch == bounds.epoch
            and bounds.first_sequence - 1 <= after.sequence <= bounds.last_sequence
        )
        if kept:
            replayed = after
            while replayed.sequence < live_after.sequence:
                missed = await log.next_after(watcher.vin, replayed)
                if missed is None or missed.position.sequence > live_after.sequence:
                    break
                replayed = missed.position
                yield missed
            # A reader that another process has served may be ahead of this one.
            live_after = Position(after.epoch, max(after.sequence, live_after.sequence))
        else:
            yield Reset(live_after)
    while True:
        item = await watcher.next()
        if (
            isinstance(item, Update)
            and item.position.epoch == live_after.epoch
            and item.position.sequence <= live_after.sequence
        ):
            continue
        yield item
