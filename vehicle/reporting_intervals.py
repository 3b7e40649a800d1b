"""How often the car reports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReportingIntervals:
    """How often the car reports when nothing changes."""

    status_seconds: int = 30
    diagnostics_seconds: int = 300
