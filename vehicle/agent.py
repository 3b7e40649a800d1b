"""The agent: keeps the car connected, says hello, takes orders, reports.

Asleep it is disconnected and reports nothing; the body controller in `car` goes on. `crash` ends it
as a power cut would, at whatever point it is; a new agent then starts from the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import structlog

from vehicle import tasks
from vehicle.doors import diagnosis
from vehicle.doors.lock_changes import LockChanges
from vehicle.link.backoff import Backoff
from vehicle.link.port import LinkDownError, QueueGoneError, VehicleLink
from vehicle.messages import translate
from vehicle.messages.answers import Answers
from vehicle.messages.budget import AnswerBudget
from vehicle.messages.channel import Channel, new_message_id
from vehicle.messages.inbox import AgentInbox, RefusedReport
from vehicle.messages.memory import Memory
from vehicle.messages.orders import OrderProcessor
from vehicle.messages.outbox import AgentOutbox
from vehicle.messages.pending import PendingCommands

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from ecarus.remotecontrol.vehicle.v1 import report_pb2

    from protocol.vehicle_side import OutgoingEnvelope
    from vehicle.clock import Clock
    from vehicle.doors.car import Car
    from vehicle.messages.credentials import Credentials
    from vehicle.messages.journal import Journal
    from vehicle.messages.manifest_file import ManifestStore
    from vehicle.reporting_intervals import ReportingIntervals

logger = structlog.get_logger(__name__)

AGENT_VERSION = "1.0.0"

PATIENCE_SECONDS = 0.25
"""How long the cloud may take to open the command queue before the hello is repeated. Twice as long after each
repetition: a cloud that is behind with hellos must not get more of them.
"""
MOST_PATIENCE_SECONDS = 60.0

LONGEST_RETRY_SECONDS = 30.0
"""Between attempts to say what the broker does not confirm: most likely it has more than it can keep up with."""

DRAIN_SECONDS = 5.0
LAST_REPORT_SECONDS = 0.5
"""How long going to sleep may be held up by the report that says so."""

BUSY_LOOK_SECONDS = 0.1

SETTLE_SECONDS = 1.0
"""After a change in sleep, before waking to report it: what moves five doors is told in one waking."""
CHECK_SECONDS = 10.0
"""The least time between two checks that were asked for: a request can be replayed."""
LONGEST_WAKING_SECONDS = 60.0
"""How long reporting a change may keep a car awake that was asleep; what is left waits for the next waking."""


class Agent:
    """One boot of one car's agent. `start` once, then `stop` or `crash` once.

    Raises ManifestDamagedError, NoReportKeyError.
    """

    def __init__(
        self,
        car: Car,
        link: VehicleLink,
        journal: Journal,
        credentials: Credentials,
        manifests: ManifestStore,
        clock: Clock,
        reporting: ReportingIntervals,
    ) -> None:
        self.connected = asyncio.Event()
        """The broker is reached. The cloud opens the command queue a moment later."""
        self.reported = asyncio.Event()
        """The broker keeps a status report of this boot: whoever asks the cloud gets an answer."""
        self._car = car
        self._link = link
        self._journal = journal
        self._clock = clock
        self._reporting = reporting
        self._boot_id = uuid4().hex
        self._sequence = 0
        self._changed = asyncio.Event()
        self._pending = PendingCommands()
        memory = Memory(car, journal, self._pending, manifests)
        self._channel = channel = Channel(car.vin, credentials, manifests.load(), memory, clock)
        self.outbox = AgentOutbox(car.vin, link)
        answers = Answers(car.vin, channel, journal, self.outbox, AnswerBudget(clock))
        self._orders = OrderProcessor(
            car,
            channel,
            journal,
            self._pending,
            answers,
            clock,
            self._status_now,
            self._changed.set,
            sequence_now=lambda: self._sequence,
        )
        self._inbox = AgentInbox(
            car.vin, channel, self._orders, answers, self.outbox, self._hello_now, self._check_now
        )
        self._is_check_asked = False
        self._told = asyncio.Event()
        """The broker keeps a report of the car as it stands."""
        self._is_asleep = False
        self._at_sleep: object = None
        self._waking: asyncio.Task[None] | None = None
        """Awake only to report what changed in sleep."""
        self._lock_changes = LockChanges(car.body)
        self._stop_observing = car.observe(self._body_changed)
        self._worker: asyncio.Task[None] | None = None
        self._life: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()
        """The life before is over: its connection is closed."""
        self._gone.set()

    @property
    def boot_id(self) -> str:
        """Made anew at every boot."""
        return self._boot_id

    @property
    def is_asleep(self) -> bool:
        """Whether it stays disconnected on purpose."""
        return self._life is None

    @property
    def is_busy(self) -> bool:
        """Whether a command is being carried out or waits for it."""
        return self._pending.is_busy

    @property
    def refused_reports(self) -> list[RefusedReport]:
        """What the cloud did not take of this boot's messages, as it said lately; the newest last."""
        return list(self._inbox.refused_reports)

    def start(self, *, awake: bool) -> None:
        """Recover from the journal and begin to live."""
        self._orders.recover()
        self._worker = self._watched(self._orders.work())
        if awake:
            self.wake()

    def wake(self) -> None:
        """Connect, if asleep."""
        self._is_asleep = False
        if self._life is None:
            self._life = self._watched(self._live())

    async def sleep(self) -> None:
        """Say so, and disconnects. A command that was accepted is finished; its result waits for waking.

        What changes the doors meanwhile wakes it for as long as it takes to report it.
        """
        self._is_asleep = True
        self._at_sleep = self._worth_waking
        await self._disconnect(self._report_last)

    async def vanish(self) -> None:
        """Disconnect without a word, as in a garage without signal, until it is woken."""
        self._is_asleep = False
        await self._disconnect(self._link.drop)

    @property
    def _worth_waking(self) -> object:
        """What is reported from sleep when it changes; a falling charge is not, it would fall faster."""
        return self._car.body.doors, self._car.body.ignition

    def _body_changed(self) -> None:
        self._lock_changes.observe(self._car.body, self._car.changed_by, self._sequence)
        self._changed.set()
        self._told.clear()
        if self._is_asleep and self._waking is None and self._worth_waking != self._at_sleep:
            self._waking = self._watched(self._report_from_sleep())

    async def _report_from_sleep(self) -> None:
        """Wake, report, and sleep again, unless somebody woke the car for something else meanwhile."""
        try:
            await asyncio.sleep(SETTLE_SECONDS)
            if not self._is_asleep:
                return
            if self._life is None:
                self._life = self._watched(self._live())
            with contextlib.suppress(TimeoutError):  # out of reach: the report is made at the next waking
                async with asyncio.timeout(LONGEST_WAKING_SECONDS):
                    await self._told.wait()
                    # A command that came with the waking. Nothing tells when the last one is done.
                    while self.is_busy:  # noqa: ASYNC110  # see above
                        await asyncio.sleep(BUSY_LOOK_SECONDS)
            if self._is_asleep:
                self._at_sleep = self._worth_waking
                await self._disconnect(self._report_last)
        finally:
            self._waking = None

    async def _disconnect(self, say: Callable[[], Awaitable[None]]) -> None:
        life, self._life = self._life, None
        self._gone.clear()
        try:
            await say()
            await _end(life)
        finally:
            self._gone.set()

    async def stop(self) -> None:
        """Finish the command that has begun and send what it can, within DRAIN_SECONDS; then end."""
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                async with self._car.actuators:  # nobody is in the middle of a command
                    await _end(self._worker)
                if self.connected.is_set():
                    await self.outbox.flush(DRAIN_SECONDS)
        except TimeoutError:
            logger.warning("drain_timeout", vin_tail=self._car.vin[-6:])
        await self._report_last()
        await self._end_all()

    async def crash(self) -> None:
        """End at once, in the middle of whatever it does, without a word."""
        await self._link.drop()
        await self._end_all()

    async def _end_all(self) -> None:
        self._stop_observing()
        await _end(self._waking)
        await _end(self._worker)
        life, self._life = self._life, None
        await _end(life)
        await self.outbox.stop()
        self._journal.close()

    def _watched(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception():
            # An agent that cannot keep its journal must not act: it disconnects, stays down, and says so.
            logger.critical("agent_failed", vin_tail=self._car.vin[-6:], error=repr(task.exception()))
            if self._life:
                self._life.cancel()

    async def _live(self) -> None:
        await self._gone.wait()
        backoff = Backoff.to_connect()
        while True:
            try:
                await self._link.open()
                backoff.reset()
                await self._session()
            except LinkDownError as error:
                logger.info("link_down", vin_tail=self._car.vin[-6:], reason=str(error))
            finally:
                self.connected.clear()
                self.outbox.shut()
                await self._link.close()
            await asyncio.sleep(backoff.next_seconds())

    async def _session(self) -> None:
        self.outbox.connect()
        self.connected.set()
        await self._say_hello()  # before all else: whatever comes before it would have to wait for it
        self.outbox.open()
        reporter = self._watched(self._report())
        try:
            await self._take_orders()
        finally:
            await _end(reporter)

    async def _take_orders(self) -> None:
        loop = asyncio.get_running_loop()
        said_hello_at = loop.time()
        patience_seconds = PATIENCE_SECONDS
        backoff = Backoff()
        while True:
            try:
                self._inbox.take(await self._link.receive())
                backoff.reset()
                patience_seconds = PATIENCE_SECONDS
            except QueueGoneError as gone:
                await asyncio.sleep(backoff.next_seconds())
                if loop.time() - said_hello_at >= patience_seconds:
                    patience_seconds = min(MOST_PATIENCE_SECONDS, 2 * patience_seconds)
                    logger.info("queue_gone", vin_tail=self._car.vin[-6:], reason=str(gone))
                    await self._say_hello()
                    said_hello_at = loop.time()

    async def _say_hello(self) -> None:
        backoff = Backoff(longest_seconds=LONGEST_RETRY_SECONDS)
        while True:
            try:
                await self.outbox.send(lambda: self._channel.seal_hello(self._hello_now(), new_message_id()))
            except LinkDownError:
                if not self._link.is_open:
                    raise
                # Connected, but not stored: the stream is not there yet, or the broker is busy.
                await asyncio.sleep(backoff.next_seconds())
            else:
                return

    async def _report(self) -> None:
        loop = asyncio.get_running_loop()
        diagnosed: tuple[diagnosis.ComponentReading, ...] | None = None
        diagnosed_at = loop.time()
        backoff = Backoff(longest_seconds=LONGEST_RETRY_SECONDS)
        while True:
            self._changed.clear()
            try:
                await self.outbox.send(lambda: self._channel.seal_report(self._status_now()))
                self.reported.set()
                if not self._changed.is_set():
                    self._told.set()
                found = diagnosis.components(self._car.body)
                since = loop.time() - diagnosed_at
                is_asked = self._is_check_asked and since >= CHECK_SECONDS
                if found != diagnosed or is_asked or since >= self._reporting.diagnostics_seconds:
                    await self._send_diagnostics()
                    diagnosed, diagnosed_at = found, loop.time()
            except LinkDownError as error:
                logger.info("report_unconfirmed", vin_tail=self._car.vin[-6:], reason=str(error))
                self._changed.set()
                await asyncio.sleep(backoff.next_seconds())
                continue
            backoff.reset()
            with contextlib.suppress(TimeoutError):  # nothing changed: report all the same
                async with asyncio.timeout(
                    CHECK_SECONDS if self._is_check_asked else self._reporting.status_seconds
                ):
                    await self._changed.wait()

    async def _send_diagnostics(self) -> None:
        was_asked, self._is_check_asked = (
            self._is_check_asked,
            False,
        )  # who asks from here on gets another one
        try:
            await self.outbox.send(lambda: self._channel.seal_report(self._diagnostics_now()))
        except LinkDownError:
            self._is_check_asked |= was_asked
            raise

    def _check_now(self) -> None:
        """Report what a check finds, also if nothing changed; what was reported a moment ago is not checked again."""
        self._is_check_asked = True
        self._changed.set()

    async def _report_last(self) -> None:
        """Tell the cloud that silence is no loss from here on, as far as the cloud can be reached."""
        if not self.connected.is_set():
            return

        def seal() -> OutgoingEnvelope:
            return self._channel.seal_report(self._status_now(going_to_sleep=True))

        try:
            async with asyncio.timeout(LAST_REPORT_SECONDS):
                await self.outbox.send_last(seal)
        except (LinkDownError, TimeoutError) as error:
            logger.info("last_report_unconfirmed", vin_tail=self._car.vin[-6:], reason=repr(error))

    def _hello_now(self) -> report_pb2.Hello:
        return translate.hello(self._boot_id, AGENT_VERSION, self._car.config_version, self._clock.now())

    def _status_now(self, *, going_to_sleep: bool = False) -> report_pb2.StatusReport:
        self._sequence += 1
        return translate.status_report(
            self._car.body,
            self._clock.now(),
            self._boot_id,
            self._sequence,
            self._reporting.status_seconds,
            self._lock_changes.of,
            going_to_sleep=going_to_sleep,
        )

    def _diagnostics_now(self) -> report_pb2.DiagnosticsReport:
        self._sequence += 1
        return translate.diagnostics_report(self._car.body, self._clock.now(), self._boot_id, self._sequence)


async def _end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        await tasks.end([task])
