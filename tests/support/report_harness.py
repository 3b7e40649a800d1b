"""What the services that hear reports share in their tests: the enrolment they ask, and their way to vehicles'
words.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from protocol.cloud_side import AnswerReader
from protocol.keys import OpenKeys
from services.platform.storage import StorageUnavailableError
from services.telematics.reports import HelloIntake, ReportReader
from tests.support.protocol_harness import CLOUD_REPORT, CLOUD_SEAL, OTHER_VIN, VIN, Car, Clock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protocol.domains import Domain
    from protocol.keys import VehicleKeys
    from services.platform.database import Database
    from services.telematics.sessions import VehicleSessions


@dataclass
class FakeDirectory:
    """VehicleKeyDirectory without its service: `known` is what it answers, `away` stops it."""

    known: dict[str, VehicleKeys] = field(default_factory=dict)
    away: bool = False
    asked: list[set[str]] = field(default_factory=list)

    async def fetch(self, vins: Iterable[str]) -> None:
        self.asked.append(set(vins))
        if self.away and self.asked[-1]:
            raise StorageUnavailableError("the enrolment service is away")

    def find(self, vin: str) -> VehicleKeys | None:
        return None if self.away else self.known.get(vin)

    def is_enrolled(self, vin: str) -> bool:
        return self.find(vin) is not None


class Fleet:
    """Two cars that are enrolled, and what a service needs to hear them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.cars = {vin: Car(vin, self.clock) for vin in (VIN, OTHER_VIN)}
        self.directory = FakeDirectory({vin: car.keys for vin, car in self.cars.items()})
        self.answers = AnswerReader(OpenKeys(CLOUD_SEAL), self.directory)

    def reader(
        self, domain: Domain, database: Database, sessions: VehicleSessions, most_kept: int = 100
    ) -> ReportReader:
        return ReportReader(
            domain,
            OpenKeys(CLOUD_REPORT),
            database,
            sessions,
            self.directory,  # type: ignore[arg-type]  # the fake
            most_kept,
        )

    def hellos(self, database: Database, sessions: VehicleSessions, reader: ReportReader) -> HelloIntake:
        return HelloIntake(
            self.answers,
            self.directory,  # type: ignore[arg-type]  # the fake
            database,
            sessions,
            lambda: time.time_ns() // 1_000_000,
            reader.invalidate,
        )
