"""What this service does: one function per intention, and the port it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from services.diagnostics.domain.diagnosis import DiagnosisNotYetReportedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.diagnostics.domain.diagnosis import Diagnosis, SelfCheck


class DiagnosisRecord(Protocol):
    """The durable record. Every function raises StorageUnavailableError when it cannot be relied on."""

    async def find(self, vin: str) -> Diagnosis | None:
        """Return the vehicle's diagnosis; None before its first report."""

    async def ingest(self, checks: Sequence[SelfCheck]) -> None:
        """Keep the newest of each vehicle, and tell of alerts that came and went, in one commit."""


async def read_diagnosis(record: DiagnosisRecord, vin: str) -> Diagnosis:
    """Return the vehicle's diagnosis. Raises DiagnosisNotYetReportedError."""
    diagnosis = await record.find(vin)
    if diagnosis is None:
        raise DiagnosisNotYetReportedError
    return diagnosis


async def take_self_checks(record: DiagnosisRecord, checks: Sequence[SelfCheck]) -> None:
    """Take in what vehicles report; safe to repeat."""
    if checks:
        await record.ingest(checks)
