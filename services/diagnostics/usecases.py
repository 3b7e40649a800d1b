"""What this service does: one function per intention, and the port it needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from services.diagnostics.domain.diagnosis import HEALTH_FALLING, DiagnosisNotYetReportedError
from services.diagnostics.domain.trend import MOST_SHOWN, shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from services.diagnostics.domain.diagnosis import Diagnosis, SelfCheck
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

    async def trend(
        self, vin: str, component_id: str | None
    ) -> tuple[Diagnosis | None, list[ComponentTrend]]:
        """Return the vehicle's diagnosis, None before its first report, and the trend of its components, or of one."""

    async def ingest(self, checks: Sequence[SelfCheck]) -> None:
        """Keep the newest of each vehicle, and tell of alerts that came and went, in one commit."""


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
