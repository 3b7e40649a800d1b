"""One child process of the mesh: started on a leash, watched until ready, stopped politely, then not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mesh.logs import opened

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from mesh.fork_server import ForkedProcess, ForkServer

LEASH = Path(__file__).with_name("leash.py")
MASKED = Path(__file__).with_name("masked.py")
READY_TIMEOUT_SECONDS = 30.0
MASK_SECONDS = 2.0
"""How long the last words of a component that has ended may take into its log."""
_PROBE_INTERVAL_SECONDS = 0.03
_LONGEST_REASON = 300


class ComponentFailedError(Exception):
    """A component did not become ready; the message names it and gives its last words."""


@dataclass(frozen=True, slots=True)
class MeshComponent:
    """What to run. `probe` makes a fresh readiness check for one start of it; `is_alive`, where there is one, says
    later whether it is still of use. With `masked` its log holds no whole VIN.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    probe: Callable[[], Callable[[], Awaitable[bool]]]
    stop_seconds: float = 3.0
    is_alive: Callable[[], Awaitable[bool]] | None = None
    masked: bool = False

    @property
    def module(self) -> str | None:
        """Of a component written in Python, the module that is run."""
        words = tuple(self.command)
        return words[2] if words[:2] == (sys.executable, "-m") and len(words) == 3 else None  # noqa: PLR2004


class RunningComponent:
    """A component's process."""

    def __init__(
        self,
        component: MeshComponent,
        process: asyncio.subprocess.Process | ForkedProcess,
        mask: asyncio.subprocess.Process | None = None,
    ) -> None:
        self.component = component
        self._process = process
        self._mask = mask

    @classmethod
    async def start(
        cls, component: MeshComponent, folder: Path, fork_server: ForkServer | None = None
    ) -> RunningComponent:
        """Start the process in `folder`, its output appended to its log.

        It gets a process group of its own, so that Ctrl-C reaches only the supervisor, which stops
        everything in order.
        """
        words = (sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *component.command)
        mask: asyncio.subprocess.Process | None = None
        if fork_server is not None and component.module is not None:
            forked = await fork_server.start(component.module, component.environment, folder, component.log)
            return cls(component, forked)
        with contextlib.ExitStack() as open_here:
            said = log = open_here.enter_context(opened(component.log))
            if component.masked:
                mask, said = await _mask(log)
                open_here.enter_context(said)
            process = await asyncio.create_subprocess_exec(
                *words,
                cwd=folder,
                env=dict(component.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        return cls(component, process, mask)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    async def wait(self) -> int:
        """Return the exit status, negative for a signal, once it has ended."""
        status = await self._process.wait()
        if self._mask is not None:
            try:
                async with asyncio.timeout(MASK_SECONDS):
                    await self._mask.wait()
            except TimeoutError:  # somebody else still holds its input
                with contextlib.suppress(ProcessLookupError):
                    self._mask.kill()
                await self._mask.wait()
        return status

    async def until_ready(self, is_ready: Callable[[], Awaitable[bool]]) -> None:
        """Return when it is ready. Raises ComponentFailedError when it dies or takes too long."""
        ended = asyncio.ensure_future(self.wait())
        try:
            async with asyncio.timeout(READY_TIMEOUT_SECONDS):
                while not await is_ready():
                    await asyncio.wait([ended], timeout=_PROBE_INTERVAL_SECONDS)
                    if ended.done():
                        raise ComponentFailedError(self.obituary())
        except TimeoutError:
            reason = f"{self.component.name} was not ready after {READY_TIMEOUT_SECONDS:.0f} s"
            raise ComponentFailedError(f"{reason}: {last_line(self.component.log)}") from None
        finally:
            ended.cancel()

    def obituary(self) -> str:
        """Return how it ended and, where it ended by itself, its last words."""
        status = self._process.returncode
        if status is not None and status < 0:
            return f"{self.component.name} was ended by {signal.Signals(-status).name}"
        return f"{self.component.name} ended with status {status}: {last_line(self.component.log)}"

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL when `stop_seconds` were not enough. Already ended is fine."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(self.component.stop_seconds):
                await self.wait()
        except TimeoutError:
            self.kill()
            await self.wait()

    def kill(self) -> None:
        """SIGKILL, without waiting."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()


async def _mask(log: IO[bytes]) -> tuple[asyncio.subprocess.Process, IO[bytes]]:
    """Return who brings into the log, without VINs, what is written to the file; it ends when nobody can write
    there.
    """
    end_to_read, end_to_write = os.pipe()
    with os.fdopen(end_to_read, "rb") as source:
        mask = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(MASKED)),
            stdin=source,
            stdout=log,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    return mask, os.fdopen(end_to_write, "wb")


def last_line(log: Path) -> str:
    """Return the last line of a log that says something, shortened; "no output" when there is none.

    Of a JSON record with an exception, the exception's own last line.
    """
    with contextlib.suppress(FileNotFoundError), log.open(encoding="utf-8", errors="replace") as file:
        for line in reversed(deque(file, maxlen=20)):
            if line.strip():
                return _essence(line.strip())[:_LONGEST_REASON]
    return "no output"


def _essence(line: str) -> str:
    try:
        record = json.loads(line)
    except ValueError:
        return line
    trace = record.get("exception") if isinstance(record, dict) else None
    return str(trace).strip().splitlines()[-1] if trace else line
