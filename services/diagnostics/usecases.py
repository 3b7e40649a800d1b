"""What this service does: one function per intention, and the port it needs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from services.diagnostics.domain.diagnosis import HEALTH_FALLING, DiagnosisNotYetReportedError
from services.diagnostics.domain.trend import MOST_SHOWN, shown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime, timedelta

    from services.diagnostics.domain.diagnosis import Diagnosis, SelfCheck
    from services.diagnostics.domain.self_checks import RequestedCheck
    from services.diagnostics.domain.trend import ComponentTrend


@dataclass(frozen=True, slots=True)
class TrendQuery:
    """Which part of a vehicle's trend to show: of one component where that is named, at most so many points of each."""

    vin: str
    now: datetime
    period: timedelta
    component_id: str | None = None
    most_points: int = 100

    @property
    def since(self) -> datetime:
        """Return how far back it goes."""
        return self.now - self.period


class DiagnosisRecord(Protocol):
    """The durable record. Every function raises StorageUnavailableError when it cannot be relied on."""

    async def find(self, vin: str) -> Diagnosis | None:
        """Return the vehicle's diagnosis; None before its first report."""

    async def requested_check(self, vin: str) -> RequestedCheck | None:
        """Return what became of asking the vehicle for checks; None where it never was and is not going to be."""

    async def trend(
        self, vin: str, component_id: str | None
    ) -> tuple[Diagnosis | None, list[ComponentTrend]]:
        """Return the vehicle's diagnosis, None before its first report, and the trend of its components, or of one."""

    async def ingest(self, checks: Sequence[SelfCheck]) -> None:
        """Keep the newest of each vehicle, and tell of alerts that came and went, in one commit."""


class SelfCheckRecord(Protocol):
    """Which vehicles were asked to check themselves. Every function raises StorageUnavailableError."""

    async def request(self, vin: str, now: datetime) -> tuple[RequestedCheck, bool]:
        """Keep that a vehicle is asked now, and return that; and whether it is to be asked, or was just now."""

    async def not_sent(self, request: RequestedCheck, now: datetime) -> None:
        """Keep that a request did not leave."""

    async def take_due(self, now: datetime, at_most: int) -> list[RequestedCheck]:
        """Return vehicles that the schedule asks now, each once; none where there is no schedule."""

    async def note_missed(self, now: datetime) -> int:
        """Keep which vehicles did not check themselves in time; return how many."""


class CheckNotSentError(Exception):
    """The vehicle could not be asked to check itself at this moment."""


@dataclass(frozen=True, slots=True)
class CheckDependencies:
    """What the use cases of checks work with. `ask` asks a vehicle, and returns whether that is on its way."""

    record: SelfCheckRecord
    ask: Callable[[str], Awaitable[bool]]
    now: Callable[[], datetime]


async def request_check(deps: CheckDependencies, vin: str) -> RequestedCheck:
    """Ask a vehicle to check itself, unless it was asked just now; return the request. Raises CheckNotSentError."""
    request, is_new = await deps.record.request(vin, deps.now())
    if is_new and not await deps.ask(vin):
        await deps.record.not_sent(request, deps.now())
        raise CheckNotSentError
    return request


async def run_schedule(deps: CheckDependencies, at_most: int) -> None:
    """Note which vehicles missed their check, and ask those whose turn it is, at most so many."""
    await deps.record.note_missed(deps.now())
    requests = await deps.record.take_due(deps.now(), at_most)
    sent = await asyncio.gather(*(deps.ask(each.vin) for each in requests))
    for request, is_sent in zip(requests, sent, strict=True):
        if not is_sent:
            await deps.record.not_sent(request, deps.now())


async def read_diagnosis(record: DiagnosisRecord, vin: str) -> Diagnosis:
    """Return the vehicle's diagnosis. Raises DiagnosisNotYetReportedError."""
    diagnosis = await record.find(vin)
    if diagnosis is None:
        raise DiagnosisNotYetReportedError
    return diagnosis


async def read_trend(record: DiagnosisRecord, query: TrendQuery) -> list[ComponentTrend]:
    """Return how the health of the vehicle's components went. Raises DiagnosisNotYetReportedError."""
    diagnosis, trends = await record.trend(query.vin, query.component_id)
    if diagnosis is None:
        raise DiagnosisNotYetReportedError
    falling = {alert.component_id for alert in diagnosis.alerts if alert.code == HEALTH_FALLING}
    most = max(2, min(query.most_points, MOST_SHOWN // max(1, len(trends))))
    return [
        replace(
            each,
            points=shown(each.points, query.since, most),
            is_falling=each.component_id in falling,
        )
        for each in trends
    ]


async def take_self_checks(record: DiagnosisRecord, checks: Sequence[SelfCheck]) -> None:
    """Take in what vehicles report; safe to repeat."""
    if checks:
        await record.ingest(checks)
