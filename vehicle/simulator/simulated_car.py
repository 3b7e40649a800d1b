"""Simulated cars, many in one process: each a body that stays, and an agent that comes and goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vehicle.agent import Agent
from vehicle.doors.actuation_log import ActuationLog
from vehicle.doors.body import FULL_EQUIPMENT
from vehicle.doors.car import Car
from vehicle.doors.car_state import StateFile
from vehicle.link.port import VehicleLink
from vehicle.messages.journal import Journal
from vehicle.messages.manifest_file import ManifestStore
from vehicle.reporting_intervals import ReportingIntervals
from vehicle.simulator.unreliable_link import UnreliableLink

if TYPE_CHECKING:
    from pathlib import Path

    from vehicle.clock import Clock
    from vehicle.doors.body import Equipment
    from vehicle.messages.credentials import Credentials

MakeLink = Callable[[], VehicleLink]


class SimulatedCar:
    """One car and its present agent, with its files in one folder.

    The folder holds `car.json` (the car at rest), `journal.jsonl`, `actuations.jsonl`, and `adopted.manifest`
    once the car adopted one. Raises JournalDamagedError, ManifestDamagedError, NoReportKeyError.
    """

    def __init__(
        self,
        vin: str,
        folder: Path,
        make_link: MakeLink,
        credentials: Credentials,
        clock: Clock,
        *,
        awake: bool,
        door_time_seconds: float = 0.0,
        reporting: ReportingIntervals = ReportingIntervals(),  # noqa: B008 - frozen
        equipment: Equipment = FULL_EQUIPMENT,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.car = Car(
            vin,
            StateFile(folder / "car.json", equipment),
            ActuationLog(folder / "actuations.jsonl", vin),
            clock,
        )
        self.car.door_time_seconds = door_time_seconds
        self._folder = folder
        self._make_link = make_link
        self._credentials = credentials
        self._clock = clock
        self._awake = awake
        self._reporting = reporting
        self.boot_count = 0
        self.has_coverage = True
        self.link, self.agent = self._boot()

    def start(self) -> None:
        """Take up the body controller and start the agent."""
        self.car.start()
        self.agent.start(awake=self._awake)

    def tap(self) -> None:
        """Take the wake-up of the cloud's gateway: it reaches a car that sleeps, and none without coverage."""
        if self.has_coverage:
            self.agent.wake()

    async def leave_coverage(self) -> None:
        """Drive into a garage: gone without a word, and out of reach of wake-ups."""
        self.has_coverage = False
        await self.agent.vanish()

    def enter_coverage(self) -> None:
        """Drive out again, and connects."""
        self.has_coverage = True
        self.agent.wake()

    async def rebuild(self, equipment: Equipment) -> None:
        """Make it a car of this equipment, until the process ends; its agent boots anew.

        Waits for what moves doors now.
        """
        async with self.car.actuators:
            self.car.rebuild(equipment)
        await self.reboot()

    async def reboot(self) -> None:
        """Abandon the agent as a crash would and start it anew from the journal, awake."""
        await self.agent.crash()
        self.link, self.agent = self._boot()
        self.agent.start(awake=True)

    async def stop(self) -> None:
        """Drain the agent, then the body controller."""
        await self.agent.stop()
        await self.car.stop()

    def _boot(self) -> tuple[UnreliableLink, Agent]:
        self.boot_count += 1
        link = UnreliableLink(self._make_link())
        agent = Agent(
            self.car,
            link,
            Journal(self._folder / "journal.jsonl", self._clock.now()),
            self._credentials,
            ManifestStore(self._folder / "adopted.manifest", self._credentials.factory_trust),
            self._clock,
            self._reporting,
        )
        return link, agent
