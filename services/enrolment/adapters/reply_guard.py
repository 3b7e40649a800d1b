"""Who asks the broker for answers in a wrong place is shut out.

A vehicle's pull and its acknowledgement are requests, and the broker keeps the way back of each. When an answer cannot
be delivered to a reply subject with wildcards, it forgets all ways back that these match: those of other vehicles.
No vehicle has a reason to: it hears below its own inbox only. So its requests are looked at. And so is how often
sessions over MQTT subscribe (mqtt_sessions).

Vehicles decide how many these are. So they come over a connection of their own, into a thread of its own, and each is
looked at where it is read: who floods makes the guard late, and neither admissions nor anything else.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import structlog
from typing_extensions import override

from protocol.streams import MQTT_SESSION_CHANGES, VEHICLE_COMMANDS
from protocol.subjects import is_vin
from services.enrolment.adapters.mqtt_sessions import session_of, vehicle_of
from services.enrolment.domain import HarmReports, SessionChanges, is_own_reply
from services.enrolment.usecases import BrokerSilentError
from services.platform.background import BackgroundTasks
from services.platform.broker_client import BrokerClient, open_client
from services.platform.broker_connection import CONNECT_SECONDS
from services.platform.broker_pulse import BrokerPulse
from services.platform.jetstream import BrokerLostError
from services.platform.logs import masked_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.enrolment.adapters.flood_watch import Traffic
    from services.enrolment.usecases import EnrolmentDependencies
    from services.platform.settings import ServiceSettings

LISTENED_TO = (
    MQTT_SESSION_CHANGES,
    f"$JS.API.CONSUMER.MSG.NEXT.{VEHICLE_COMMANDS}.*",
    f"$JS.ACK.{VEHICLE_COMMANDS}.>",
)
_LOOK_SECONDS = 1.0
_log = structlog.get_logger()


class ReplyGuard:
    """Listens to vehicles' requests, and ends the connections of who names a reply subject that is not its own, or
    subscribes over MQTT without end. `traffic` is what is known of connections over MQTT.
    """

    def __init__(self, deps: EnrolmentDependencies, settings: ServiceSettings, traffic: Traffic) -> None:
        self._deps = deps
        self._traffic = traffic
        self._settings = settings
        self._errands = BackgroundTasks("reply-guard")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ended: asyncio.Future[None] | None = None
        self._stop: Callable[[], None] | None = None

    async def start(self) -> None:
        """Begin to listen; every replica hears all. Raises nats.errors.Error, OSError or TimeoutError."""
        self._loop = loop = asyncio.get_running_loop()
        listening: asyncio.Future[None] = loop.create_future()
        self._ended = loop.create_future()
        self._thread = threading.Thread(
            target=self._run, args=(loop, listening, self._ended), name="reply-guard", daemon=True
        )
        self._thread.start()
        await asyncio.wait([listening, self._ended], return_when=asyncio.FIRST_COMPLETED)
        if self._ended.done():
            await self._ended
            raise BrokerLostError("the reply guard ended")

    async def watch(self) -> None:
        """Wait until it listens no longer. Raises BrokerLostError, or what ended it."""
        if self._ended is not None:
            await asyncio.shield(self._ended)
        raise BrokerLostError("the reply guard ended")

    async def close(self) -> None:
        """End it."""
        if self._stop is not None:
            self._stop()
        if self._ended is not None:
            await asyncio.wait([self._ended])

    def _run(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: asyncio.Future[None],
        ended: asyncio.Future[None],
    ) -> None:
        """Listen, in the thread; `loop` has the futures."""
        error: Exception | None = None
        try:
            asyncio.run(self._listen(lambda: loop.call_soon_threadsafe(_resolve, listening, None)))
        except Exception as failure:  # noqa: BLE001  # it is raised where the guard is waited for
            error = failure
        loop.call_soon_threadsafe(_resolve, ended, error)

    async def _listen(self, began: Callable[[], object]) -> None:
        here, stop = asyncio.get_running_loop(), asyncio.Event()
        client = GuardClient(self._report, self._report_session)
        async with asyncio.timeout(CONNECT_SECONDS):
            await open_client(self._settings, "service-enrolment-guard", _lost, _back, client)
            for subject in LISTENED_TO:
                await client.subscribe(subject)
            await client.flush()

        def end() -> None:
            here.call_soon_threadsafe(stop.set)

        self._stop = end
        began()
        pulse = asyncio.ensure_future(
            BrokerPulse(client, self._settings.broker_silence_seconds).run(client.leave_node)
        )
        try:
            while not stop.is_set() and not client.is_closed:
                try:
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await stop.wait()
                except TimeoutError:
                    if pulse.done():
                        pulse.result()
                    continue
        finally:
            self._stop = None  # the loop ends with this
            pulse.cancel()
            await client.close()

    def _report(self, vin: str) -> None:
        """Report a vehicle, from the thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(lambda: self._errands.start(self._shut_out(vin)))

    def _report_session(self, session: str) -> None:
        """Report a session over MQTT, from the thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(lambda: self._errands.start(self._end_session(session)))

    async def _end_session(self, session: str) -> None:
        try:
            # Who floods is among those that sent something last.
            vin = vehicle_of(session, await self._traffic.latest())
            lasts = None if vin is None else self._deps.shut_out.add_flood(vin, self._deps.now())
            if vin is None or lasts is None:
                return
            reason = "it subscribes more often than a vehicle may"
            _log.error("vehicle_shut_out", vin=masked_id(vin), reason=reason, seconds=lasts.total_seconds())
            await self._deps.connections.cut(vin)
        except BrokerSilentError as silent:
            _log.error("vehicle_not_cut", session=session, reason=str(silent))

    async def _shut_out(self, vin: str) -> None:
        self._deps.shut_out.add(vin, self._deps.now())
        # Also where it is out already, for a flood: this is for longer, and says more.
        _log.error("vehicle_shut_out", vin=masked_id(vin), reason="a reply subject that is not its own")
        try:
            await self._deps.connections.cut(vin)
        except BrokerSilentError as silent:
            _log.error("vehicle_not_cut", vin=masked_id(vin), reason=str(silent))


class GuardClient(BrokerClient):
    """Looks at each message where it is read, without a queue or a task for it.

    Calls `report` with the VIN of who does harm, `report_session` with the session over MQTT that subscribes too often.
    """

    def __init__(self, report: Callable[[str], None], report_session: Callable[[str], None]) -> None:
        super().__init__()
        self._report = report
        self._reports = HarmReports()
        self._report_session = report_session
        self._changes = SessionChanges()

    async def leave_node(self, _since: float) -> None:
        """Give the connection up, because nobody answers at its other end, and connect anew, to any node."""
        await self.leave_silent()

    @override
    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        self.stats["in_msgs"] += 1  # by which its pulse tells that the broker is not silent, only far ahead
        name = subject.decode(errors="replace")
        session = session_of(name)
        if session is not None:
            if self._changes.is_excessive(session, asyncio.get_running_loop().time()):
                self._report_session(session)
            return
        vin = vin_of_request(name)
        if vin is None or is_own_reply(reply.decode(errors="replace"), vin):
            return
        if self._reports.is_due(vin, asyncio.get_running_loop().time()):
            self._report(vin)


def _resolve(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


async def _lost() -> None:
    """Say that requests are not looked at: the broker went, or ended a connection that was too far behind."""
    _log.warning("reply_guard_blind")


async def _back() -> None:
    _log.info("reply_guard_listens")


def vin_of_request(subject: str) -> str | None:
    """Return whose request it is; None for nobody's."""
    words = subject.split(".")
    place = 3 if subject.startswith("$JS.ACK.") else 6
    return words[place] if len(words) > place and is_vin(words[place]) else None
