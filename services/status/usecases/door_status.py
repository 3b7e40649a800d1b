"""What can be wished of this service: ingest reports, look at a status, watch updates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from services.status.domain.doors import Report, StatusNotYetReportedError, StatusRead
from services.status.domain.updates import Bounds, Heartbeat, LogPosition, LogUnavailableError, Reset, Update

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Container, Mapping, Sequence

    from services.status.domain.judgement import ReportedActuation
    from services.status.usecases.hub import Watcher


@dataclass(frozen=True, slots=True)
class StatusIngestResult:
    """The newest report of each vehicle that had a newer one, and which of them slept before it."""

    latest: Mapping[str, Report]
    woken: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LastReport:
    """The last report of a vehicle, serialized, when it arrived (microseconds since 1970), and the doors it leaves out
    (domain.Report.kept).
    """

    payload: bytes
    received_at_us: int
    kept: str = ""


class ReportStore(Protocol):
    """Keeps the newest report of each vehicle."""

    async def take_reports(
        self, reports: Sequence[Report], moved: Sequence[ReportedActuation], now_us: int
    ) -> StatusIngestResult:
        """Keep what is newer than what is known, with the updates that tell of it, in one commit.

        What vehicles `moved` for commands is held against what they report next, in the same commit.
        """


class ConfirmationStore(Protocol):
    """Keeps what vehicles are held to. Times are microseconds since 1970."""

    async def resolve(self, unexplained_before_us: int, now_us: int) -> int:
        """Tell of pending confirmations that nothing has explained since, some hundreds at a time; how many. Raises
        StorageUnavailableError.
        """


class StatusReader(Protocol):
    """Finds the last report of a vehicle."""

    async def last_report(self, vin: str) -> LastReport | None:
        """Return the last report; None before the first."""


class Losses(Protocol):
    """Whose connection broke."""

    def is_lost(self, vin: str, received_at_us: int) -> bool:
        """Return whether it did after the vehicle's last report came, microseconds since 1970."""

    def lost_at_us(self, vin: str, received_at_us: int) -> int | None:
        """Return when its own connection broke, or a command was not answered, after that; None where neither did."""

    def is_unanswering(self, vin: str, received_at_us: int) -> bool:
        """Return whether the vehicle left a command unanswered after that: its doors may stand otherwise now."""


class AdvisorySink(Protocol):
    """Hears of what stands in a command's way."""

    def consider(self, reports: Collection[Report], woken: Container[str]) -> None:
        """Tell of what these vehicles' states forbid, and who is awake again. Never fails: it is an advisory state."""


class StatusReadRecorder(Protocol):
    """Tells the history of status reads."""

    def record(self, check: StatusRead) -> None:
        """Take it in; it is durable soon. Raises StorageUnavailableError when too many wait already."""


class UpdateLog(Protocol):
    """What was published before."""

    async def bounds(self) -> Bounds:
        """Return what is kept now. Raises LogUnavailableError."""

    async def next_after(self, vin: str, position: LogPosition) -> Update | None:
        """Return the vehicle's first update after `position`; None when there is none. Raises LogUnavailableError."""


async def take_reports(
    store: ReportStore,
    advisories: AdvisorySink,
    reports: Sequence[Report],
    now_us: int,
    moved: Sequence[ReportedActuation] = (),
) -> None:
    """Take in a batch of reports, in the order they came; those of `moved` are among them. The same batch twice
    changes nothing.
    """
    if reports:
        taken = await store.take_reports(reports, moved, now_us)
        advisories.consider(taken.latest.values(), taken.woken)


async def resolve_confirmations(store: ConfirmationStore, doubt_us: int, now_us: int) -> None:
    """Doubts that have lasted for `doubt_us` are contradictions."""
    while await store.resolve(now_us - doubt_us, now_us):
        pass


async def read_status(reader: StatusReader, vin: str) -> LastReport:
    """Return the last report of a vehicle. Raises StatusNotYetReportedError."""
    found = await reader.last_report(vin)
    if found is None:
        raise StatusNotYetReportedError
    return found


async def watch_updates(
    log: UpdateLog, watcher: Watcher, after: LogPosition | None
) -> AsyncGenerator[Update | Reset | Heartbeat, None]:
    """Yield a vehicle's updates as they happen: first what came after `after`, then live.

    No gap, no duplicate, no reorder. Begins with Reset when `after` is not kept any more, and where something
    was published after it and before the watcher's right began. The watcher
    is in the hub already, so what happens during the replay waits in its queue. Raises StreamEndedError,
    LogUnavailableError.
    """
    resumption = Resumption(log, watcher, after)
    async for missed in resumption.missed():
        yield missed
    while True:
        item = await watcher.next()
        if isinstance(item, Update) and resumption.is_known(item):
            continue
        yield item


class Resumption:
    """What a reader missed after a place, and what of the live feed it is told in that way."""

    def __init__(self, log: UpdateLog, watcher: Watcher, after: LogPosition | None) -> None:
        self._log = log
        self._watcher = watcher
        self._after = after
        self._live_after = watcher.joined_at

    def is_known(self, update: Update) -> bool:
        """Return whether a live update was told already, by this process or by another that the reader was at."""
        position, live_after = update.position, self._live_after
        return position.epoch == live_after.epoch and position.sequence <= live_after.sequence

    async def missed(self) -> AsyncGenerator[Update | Reset, None]:
        """Yield what came between the place and the watcher's joining. Raises StreamEndedError, LogUnavailableError."""
        after, live_after = self._after, self._live_after
        if after is None:
            return
        bounds = await self._log.bounds()
        if bounds.epoch != live_after.epoch:
            raise LogUnavailableError  # the log was made anew, and the hub has yet to find it
        if not (
            after.epoch == bounds.epoch
            and bounds.first_sequence - 1 <= after.sequence <= bounds.last_sequence
        ):
            yield Reset(live_after)
            return
        # A reader that another process has served may be ahead of this one.
        self._live_after = LogPosition(after.epoch, max(after.sequence, live_after.sequence))
        replayed = after
        while replayed.sequence < live_after.sequence:
            missed = await self._log.next_after(self._watcher.vin, replayed)
            self._watcher.check()  # its right may end while it catches up
            if missed is None or missed.position.sequence > live_after.sequence:
                return
            if missed.published_at < self._watcher.right.since:
                # Somebody else's past; what came after is not worth a search: the status shows what came of it.
                yield Reset(live_after)
                return
            replayed = missed.position
            yield missed
