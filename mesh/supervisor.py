"""Starts the mesh in order of need, keeps it running, and stops it in the opposite order.

One line on the console for everything that a person should know: starts, ends, restarts and their reasons. All else is
in the logs. Only what fails at the first start ends it all; afterwards a component that keeps dying is tried again
for ever, and the others go on. One that runs and is of no use is ended and started again like one that died: soon, if
it does nothing at all, and with much more patience if it is only busy.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import httpx

from mesh.activity import HangWatch
from mesh.component import ComponentFailedError, MeshComponent, RunningComponent
from mesh.edge_config import ROOT
from mesh.plan import ENVOY_DRAIN_SECONDS
from mesh.probes import http_request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from mesh.fork_server import ForkServer
    from mesh.plan import Plan

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
HEALTHY_AFTER_SECONDS = 20.0
LOOK_SECONDS = 2.0
FAILED_LOOKS = 5
"""So many in a row, and a component that still runs is started again, whatever it does."""
HUNG_SECONDS = 8.0
"""Who answers nothing for so long, and does nothing, is started again at once."""
_HUNG_BOUNDS = (2, 3_600)
_ANSWERED_SECONDS = 0.5
"""A look that fails sooner was answered, or refused: who does that does not hang."""
_SLICE_SECONDS = 0.5
LONGEST_PATIENCE_LOOKS = 40
"""Where a restart has not helped, the next one waits for twice as many failed looks, up to this."""

# Of both REST listeners and the gRPC one; not of the admin interface, which counts this very request.
_ACTIVE = "^http\\.(rest|grpc)\\.downstream_rq_active$"


def hung_seconds(text: str | None) -> float:
    """Return what DOORS_HUNG_SECONDS says, or the default. Raises ValueError, naming the key."""
    if not text:
        return HUNG_SECONDS
    low, high = _HUNG_BOUNDS
    if not text.isascii() or not text.isdecimal() or not low <= int(text) <= high:
        raise ValueError(f"DOORS_HUNG_SECONDS must be a number from {low} to {high}, not {text!r}")
    return float(text)


class RestartBackoff:
    """How long to wait before starting a component again."""

    def __init__(self) -> None:
        self._deaths = 0

    def after(self, uptime_seconds: float) -> float:
        """Return seconds to wait after a run of this length."""
        self._deaths = 1 if uptime_seconds >= HEALTHY_AFTER_SECONDS else self._deaths + 1
        return float(min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(self._deaths - 1, 16)))


class ProbeTolerance:
    """How many looks in a row may fail before a component that runs is started again."""

    def __init__(self) -> None:
        self._limit = FAILED_LOOKS
        self._failed = 0

    def is_over(self, *, healthy: bool) -> bool:
        """Return whether it ends with this look."""
        if healthy:
            # Only who is well for as long as it may be ill is trusted as in the beginning.
            self._failed = min(self._failed, 0) - 1
            if self._failed <= -self._limit:
                self._limit = FAILED_LOOKS
            return False
        self._failed = max(self._failed, 0) + 1
        if self._failed < self._limit:
            return False
        self._failed = 0
        self._limit = min(2 * self._limit, LONGEST_PATIENCE_LOOKS)
        return True


class Supervisor:
    """Runs a plan until told to stop.

    `envoy_admin` is the socket of Envoy's admin interface. `say` prints one line. `welcome` is called once,
    when everything is ready. Components written in Python are forked off the `fork_server`, where there is one.
    """

    def __init__(
        self,
        plan: Plan,
        envoy_admin: Path,
        say: Callable[[str], None],
        welcome: Callable[[], None],
        look_seconds: float = LOOK_SECONDS,
        hung_seconds: float = HUNG_SECONDS,
        fork_server: ForkServer | None = None,
    ) -> None:
        self._plan = plan
        self._fork_server = fork_server
        self._admin = envoy_admin
        self._say = say
        self._welcome = welcome
        self._look_seconds = look_seconds
        self._hung_seconds = hung_seconds
        self._running: dict[str, RunningComponent] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Start everything, say so, restart what dies, and stop everything once `stop` is set.

        Nothing is left running, however it ends. Raises ComponentFailedError.
        """
        stopped = asyncio.ensure_future(stop.wait())
        work = asyncio.ensure_future(self._start_and_watch())
        try:
            await asyncio.wait([stopped, work], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            self._say("stopping")
        finally:
            stopped.cancel()
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError, ComponentFailedError):
                await work
            await asyncio.shield(self._stop_all())

    @property
    def _issuer(self) -> list[MeshComponent]:
        return [] if self._plan.issuer is None else [self._plan.issuer]

    @property
    def _phones(self) -> list[MeshComponent]:
        return [] if self._plan.phones is None else [self._plan.phones]

    @property
    def _gateway(self) -> list[MeshComponent]:
        return [] if self._plan.gateway is None else [self._plan.gateway]

    async def _start_and_watch(self) -> None:
        async with _one_failure(), asyncio.TaskGroup() as watchers:
            # Vehicles after the services: a connection that nobody admits yet is held by the broker for seconds.
            # The issuer before the services: access asks for its keys at its start.
            # Envoy after the gateway: what is not there when it looks first is refused until it looks again.
            for stage in (
                [self._plan.nats, *self._issuer],
                [*self._plan.services, *self._gateway],
                [self._plan.vehicles, *self._phones, self._plan.envoy],
            ):
                started = await asyncio.gather(*(self._start(component) for component in stage))
                for component, began in zip(stage, started, strict=True):
                    watchers.create_task(self._keep(component, began))
            self._welcome()

    async def _start(self, component: MeshComponent) -> float:
        """Start it, wait until it is ready; when it was started, by the monotonic clock."""
        began = time.monotonic()
        is_ready = component.probe()
        running = await RunningComponent.start(component, ROOT, self._fork_server)
        self._running[component.name] = running
        await running.until_ready(is_ready)
        self._say(f"{component.name} ready ({time.monotonic() - began:.1f} s, pid {running.pid})")
        return began

    async def _keep(self, component: MeshComponent, began: float) -> None:
        backoff, patience = RestartBackoff(), ProbeTolerance()
        while True:
            reason = await self._until_of_no_use(component, patience)
            pause = backoff.after(time.monotonic() - began)
            self._say(f"{reason}; restarting in {pause:.1f} s")
            await asyncio.sleep(pause)
            began = time.monotonic()
            try:
                began = await self._start(component)
            except (ComponentFailedError, OSError) as failure:
                # It counts as one more death; whatever hangs must not hold the port.
                self._say(f"{failure}; it is tried again, and all else goes on")
                await self._running[component.name].stop()

    async def _until_of_no_use(self, component: MeshComponent, patience: ProbeTolerance) -> str:
        """Return why, once it has ended, or was ended because it did not serve for long."""
        running = self._running[component.name]
        ended = asyncio.ensure_future(running.wait())
        try:
            if component.is_alive is None:
                await ended
                return running.obituary()
            hang = HangWatch(running.pid, self._hung_seconds)
            while True:
                await asyncio.wait([ended], timeout=self._look_seconds)
                if ended.done():
                    return running.obituary()
                alive = await _look(component.is_alive, hang, ended)
                if ended.done():
                    return running.obituary()
                if alive is None:
                    running.kill()  # it would not hear of a polite end
                    await running.wait()
                elif patience.is_over(healthy=alive):
                    await running.stop()
                else:
                    continue
                return f"{component.name} ran and did not serve"
        finally:
            ended.cancel()

    async def _stop_all(self) -> None:
        started = time.monotonic()
        try:
            await self._drain_envoy()
        finally:
            for stage in (
                [self._plan.vehicles],
                [self._plan.envoy],
                self._gateway,
                self._plan.services,
                [self._plan.nats, *self._issuer],
            ):
                names = [component.name for component in stage if component.name in self._running]
                await asyncio.gather(*(self._running[name].stop() for name in names))
        if self._running:
            self._say(f"stopped ({time.monotonic() - started:.1f} s)")

    async def _drain_envoy(self) -> None:
        """Let requests in flight end; streams are cut, for they would never."""
        if "envoy" not in self._running:
            return
        # An Envoy that is dead needs no draining; one that is busy for longer is stopped all the same.
        with contextlib.suppress(httpx.TransportError, TimeoutError):
            await http_request("POST", self._admin, "/healthcheck/fail")
            await http_request("POST", self._admin, "/drain_listeners?graceful")
            async with asyncio.timeout(ENVOY_DRAIN_SECONDS):
                while await self._requests_in_flight():  # noqa: ASYNC110  # another process's count
                    await asyncio.sleep(0.05)

    async def _requests_in_flight(self) -> int:
        answer = await http_request("GET", self._admin, f"/stats?format=json&filter={_ACTIVE}")
        return sum(entry["value"] for entry in answer.json()["stats"])

    def kill_all(self) -> None:
        """End everything at once, in no order."""
        for running in self._running.values():
            running.kill()


async def _look(
    is_alive: Callable[[], Awaitable[bool]], hang: HangWatch, ended: asyncio.Future[int]
) -> bool | None:
    """Return what a look found, None where it hangs. Whatever, once it has ended."""
    began = time.monotonic()
    hang.hangs()  # from here on it is measured, if it was not
    looking = asyncio.ensure_future(is_alive())
    try:
        while not (looking.done() or ended.done()):
            either: list[asyncio.Future[Any]] = [looking, ended]
            await asyncio.wait(either, timeout=_SLICE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not looking.done() and hang.hangs():
                return None
        if ended.done():
            return False
        alive = looking.result()
        if alive or time.monotonic() - began < _ANSWERED_SECONDS:
            hang.answered()
        return alive
    finally:
        if not looking.done():
            looking.cancel()
            await asyncio.wait([looking])


class _one_failure(contextlib.AbstractAsyncContextManager[None]):  # noqa: N801  # used like a function
    """Lets the first component's failure out of a task group as itself."""

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, BaseExceptionGroup):
            failures, others = error.split(ComponentFailedError)
            if failures is not None and others is None:
                raise _first(failures)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
