"""One car as a thing: its body, what persists of it, and its body controller.

The body controller runs the owner's automations, awake or asleep, with or without an agent. It
survives the agent's reboot, and its state survives the process: doors don't move because a process
restarted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from operator import methodcaller
from typing import TYPE_CHECKING

import structlog

from vehicle.doors.actuation_log import ActuationLog, Phase
from vehicle.doors.automation import CAUSE_OF, ActuationCause, Automation, Job
from vehicle.doors.body import Body, DoorName, LockPosition
from vehicle.doors.car_state import CarState, StateFile
from vehicle.doors.command import CommandFault, DoorOutcome

if TYPE_CHECKING:
    from datetime import datetime

    from vehicle.clock import Clock
    from vehicle.doors.body import Equipment
    from vehicle.doors.settings import DoorSettings

logger = structlog.get_logger(__name__)

Permit = Callable[[DoorName], CommandFault | None]
"""Asked before each door: None lets it move."""


class Actuators(asyncio.Lock):
    """Held by whoever moves doors; `let_go` is called when they are let go of, before anybody else runs."""

    def __init__(self, let_go: Callable[[], None]) -> None:
        super().__init__()
        self._let_go = let_go

    def release(self) -> None:
        """Let go of them, and what does not hold by itself slips."""
        self._let_go()
        super().release()


class Car:
    """The body, the actuators (one door at a time) and the automations.

    `start` and `stop` bracket its life; without `start` nothing happens by itself.
    """

    def __init__(self, vin: str, state: StateFile, log: ActuationLog, clock: Clock) -> None:
        self.vin = vin
        self.log = log
        self.actuators = Actuators(self._slip_back)
        """Held by whoever moves doors: a command from its check to its result, an automation for its job."""
        self._slipping: frozenset[DoorName] = frozenset()
        self._slips: dict[DoorName, LockPosition] = {}
        self.door_time_seconds = 0.0
        self._clock = clock
        self._file = state
        loaded = state.load()
        self._body = loaded.body
        self._config_version = loaded.config_version
        # How long ago its delay began cannot be told across a restart: a full one begins.
        since_millis = clock.uptime_millis() if loaded.auto_lock_pending else None
        self._automation = Automation(loaded.settings, since_millis)
        self.changed_by: ActuationCause | None = None
        """What changed the body last; for observers, of the change that they are reported."""
        self._observers: list[Callable[[], None]] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._jobs: set[asyncio.Task[None]] = set()

    @property
    def body(self) -> Body:
        """As it stands."""
        return self._body

    @property
    def settings(self) -> DoorSettings:
        """In force."""
        return self._automation.settings

    @property
    def config_version(self) -> int:
        """Of the settings in force; 0 before the first."""
        return self._config_version

    @property
    def auto_lock_due_at(self) -> datetime | None:
        """When the car will lock itself by the clock of now, if nobody opens a door."""
        due_at_millis = self._automation.auto_lock_due_at_millis
        if due_at_millis is None:
            return None
        return self._clock.now() + timedelta(milliseconds=due_at_millis - self._clock.uptime_millis())

    @property
    def slipping(self) -> frozenset[DoorName]:
        """The doors whose locks do not hold."""
        return self._slipping

    def set_slipping(self, door: DoorName, *, slips: bool) -> None:
        """Make the door's lock one that does not hold, or mend it, until the process ends.

        It moves, the unit sees that it moved and answers so; as soon as the actuators are let go of it springs back to
        where it was. Raises NotFittedError for the hood.
        """
        self._body.with_actuator(door, failed=False)  # for what it raises
        self._slipping = self._slipping | {door} if slips else self._slipping - {door}

    def observe(self, observer: Callable[[], None]) -> Callable[[], None]:
        """Call `observer` after each change of the body. Returns what ends that."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    def start(self) -> None:
        """Take up an auto lock that was due when the process ended."""
        self._set_alarm()

    async def stop(self) -> None:
        """End running automations between doors, and close the files."""
        if self._alarm:
            self._alarm.cancel()
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        self.log.close()
        self._file.close()

    def change(self, change: Callable[[Body], Body], cause: ActuationCause) -> None:
        """Change the body, keep it, tell the observers, and start what the change calls for.

        Raises what `change` raises (MechanicsError, NotFittedError), and then nothing has changed.
        """
        before, self._body = self._body, change(self._body)
        if before == self._body:
            return
        self.changed_by = cause
        job = self._automation.observe(before, self._body, self._clock.uptime_millis(), cause)
        self._keep(durable=False)
        self._set_alarm()
        for observer in tuple(self._observers):
            observer()
        if job:
            self._start(job)

    def rebuild(self, equipment: Equipment) -> None:
        """Make it a car of this equipment. No automation takes a door that came or went for one that moved."""
        self._body = self._body.fitted_with(equipment)
        self._keep(durable=True)

    def configure(self, version: int, settings: DoorSettings) -> None:
        """Run with these settings from now on. On the disk when it returns."""
        job = self._automation.configure(settings, self._body, self._clock.uptime_millis())
        self._config_version = version
        self.change(
            lambda body: body.with_child_lock(engaged=settings.child_lock_enabled), ActuationCause.AUTOMATION
        )
        self._keep(durable=True)
        self._set_alarm()
        if job:
            self._start(job)

    def unlocked(self, cause: ActuationCause) -> None:
        """Give whoever unlocked the full delay of the auto lock, also when every door was unlocked already."""
        if any(self._body.doors[door].open for door in self._body.lockable):
            return
        self._automation.unlocked(self._clock.uptime_millis(), cause)
        self._keep(durable=False)
        self._set_alarm()

    async def actuate(
        self,
        cause_id: str,
        doors: tuple[DoorName, ...],
        position: LockPosition,
        cause: ActuationCause,
        permit: Permit,
    ) -> list[DoorOutcome]:
        """Bring each door to `position`, one after the other; an outcome for each. Holds no lock itself.

        A door already there succeeds without actuation. A door that `permit` forbids is left alone.
        """
        outcomes = [await self._actuate_one(cause_id, door, position, cause, permit) for door in doors]
        if position is LockPosition.UNLOCKED and any(outcome.succeeded for outcome in outcomes):
            self.unlocked(cause)
        return outcomes

    async def _actuate_one(
        self, cause_id: str, door: DoorName, position: LockPosition, cause: ActuationCause, permit: Permit
    ) -> DoorOutcome:
        if self._body.doors[door].is_at(position):
            return DoorOutcome(door, succeeded=True, moved=False)
        fault = permit(door)
        if fault:
            return DoorOutcome(door, succeeded=False, moved=False, fault=fault)
        self.log.write(self._clock.now(), cause_id, door, position, Phase.BEFORE)
        if self.door_time_seconds:
            await asyncio.sleep(self.door_time_seconds)
        # Asked again: a hand may have opened the door, or its actuator may have failed, meanwhile.
        broken = door in self._body.failed_actuators
        blocked = position is not LockPosition.UNLOCKED and self._body.doors[door].open
        if broken or blocked:
            fault = CommandFault.ACTUATOR if broken else CommandFault.DOOR_OPEN
            self.log.write(self._clock.now(), cause_id, door, position, Phase.AFTER, fault.value.lower())
            return DoorOutcome(door, succeeded=False, moved=False, fault=fault)
        if door in self._slipping:
            self._slips.setdefault(door, self._body.doors[door].position)
        self.change(lambda body: body.with_lock(door, position), cause)
        self.log.write(self._clock.now(), cause_id, door, position, Phase.AFTER, "moved")
        return DoorOutcome(door, succeeded=True, moved=True)

    def _slip_back(self) -> None:
        slips, self._slips = self._slips, {}
        for door, position in slips.items():
            if not self._body.doors[door].open:  # what was opened meanwhile cannot be locked
                self.change(methodcaller("with_lock", door, position), ActuationCause.DEFECT)

    def _start(self, job: Job) -> None:
        task = asyncio.get_running_loop().create_task(self._run(job))
        self._jobs.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._jobs.discard(task)
        if not task.cancelled() and task.exception():
            logger.error("automation_failed", vin_tail=self.vin[-6:], error=repr(task.exception()))

    async def _run(self, job: Job) -> None:
        async with self.actuators:

            def still_permitted(_door: DoorName) -> CommandFault | None:
                unlocking = job.position is LockPosition.UNLOCKED
                return CommandFault.VEHICLE_MOVING if unlocking and self._body.speed_kmh > 0 else None

            cause_id = f"automation:{job.which.value}"
            await self.actuate(cause_id, job.doors, job.position, CAUSE_OF[job.which], still_permitted)
            self.log.sync()

    def _set_alarm(self) -> None:
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None
        due_at_millis = self._automation.auto_lock_due_at_millis
        if due_at_millis is not None:
            delay_seconds = max(0.0, (due_at_millis - self._clock.uptime_millis()) / 1_000)
            self._alarm = asyncio.get_running_loop().call_later(delay_seconds, self._auto_lock)

    def _auto_lock(self) -> None:
        job = self._automation.due(self._body, self._clock.uptime_millis())
        if job:
            self._keep(durable=False)
            self._start(job)
        else:
            self._set_alarm()  # the timer came a little before the clock said so

    def _keep(self, *, durable: bool) -> None:
        pending = self._automation.auto_lock_due_at_millis is not None
        self._file.save(CarState(self._body, self.settings, self._config_version, pending), durable=durable)
