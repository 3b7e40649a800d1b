"""What is done to the unit besides messages: start it, reboot it, and look at what it really moved.

A unit that is the reference agent has a control interface for that (vehicle/README.md). Of any other, commands
and a person do what they can, and what its locks did is known from its own reports only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
from typing import TYPE_CHECKING, Any

import httpx

from conformance.finding import RuleSkippedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_STOP_SECONDS = 10
_REBOOT_COMMAND_SECONDS = 120
_CONTROL_SECONDS = 10


_ACTUATIONS = "/actuations"


class StartError(Exception):
    """The unit was not started; the text says why."""


class UnitProcess:
    """The command that starts the unit, for as long as the run lasts."""

    def __init__(self, command: str, environment: Mapping[str, str], log: Path) -> None:
        self._words = shlex.split(command)
        self._environment = environment
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """In a group of its own, so that what it starts ends with it. Raises StartError."""
        with self._log.open("ab") as log:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *self._words,
                    env={**os.environ, **self._environment},
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            except OSError as error:
                raise StartError(f"cannot start {self._words[0]}: {error.strerror}") from error

    @property
    def ended(self) -> str | None:
        """How it ended, if it did."""
        code = self._process.returncode if self._process else None
        return None if code is None else f"the unit's command ended with status {code}; see {self._log}"

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL for what does not end."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        os.killpg(process.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


class Hands:
    """`control` is the reference agent's control interface, `reboot_command` a command that reboots the unit; without
    either a person is asked, by `tell`.
    """

    def __init__(
        self, vin: str, control: str | None, reboot_command: str | None, tell: Callable[[str], None]
    ) -> None:
        self._vin = vin
        self._http = (
            # A connection for each request: one that was kept may be ended just as it is used again.
            httpx.AsyncClient(
                base_url=control,
                timeout=_CONTROL_SECONDS,
                trust_env=False,
                limits=httpx.Limits(max_keepalive_connections=0),
            )
            if control
            else None
        )
        self._reboot_command = reboot_command
        self._tell = tell

    @property
    def sees_actuations(self) -> bool:
        """Whether `actuations` knows the ground truth."""
        return self._http is not None

    @property
    def needs_person(self) -> bool:
        """Whether somebody must reboot the unit by hand."""
        return self._http is None and self._reboot_command is None

    async def actuations(self, command_id: str) -> int:
        """Return how often an actuator was set in motion for this command. Raises Skipped where that cannot be
        seen, also because the answer is not what docs/conformance.md says it is.
        """
        lines = _actuations((await self._control("GET", _ACTUATIONS)).content)
        return sum(line == (command_id, "BEFORE") for line in lines)

    async def reboot(self) -> None:
        """Reboot the unit as a power cut would. Where it is a person who does, this returns at once."""
        if self._reboot_command is not None:
            await self._run(self._reboot_command)
        elif self._http is not None:
            await self._control("POST", "/reboot")
        else:
            self._tell("Power-cycle the unit now.")

    async def sleep(self) -> None:
        """Disconnect the unit, which stays so. Raises Skipped without control interface."""
        await self._control("POST", "/sleep")

    async def wake(self) -> None:
        """Bring it back, in the same epoch. Raises Skipped without control interface."""
        await self._control("POST", "/wake")

    async def set_door_time(self, seconds: float) -> None:
        """How long each door takes. Raises Skipped without control interface."""
        await self._control("POST", "/door-time", {"seconds": seconds})

    async def ignite(self, *, engine_runs: bool) -> None:
        """Let the engine run, or switch the ignition off. Raises Skipped without control interface."""
        await self._control("POST", "/ignition", {"ignition": "ON" if engine_runs else "OFF"})

    async def charge(self, percent: int) -> None:
        """Set what the battery holds. Raises Skipped without control interface."""
        await self._control("POST", "/battery", {"percent": percent})

    async def set_remote_access(self, word: str) -> None:
        """Turn the vehicle's switch: ENABLED, DISABLED or PRIVACY_MODE. Raises Skipped without control interface, and
        of a unit that has no such switch.
        """
        await self._control("POST", "/remote-access", {"remoteAccess": word})

    async def close(self) -> None:
        """Hang up."""
        if self._http is not None:
            await self._http.aclose()

    async def _control(self, method: str, deed: str, body: Any = None) -> httpx.Response:
        if self._http is None:
            raise RuleSkippedError("needs the reference agent's control interface (--control)")
        answer = await self._http.request(method, f"/vehicles/{self._vin}{deed}", json=body)
        if not answer.is_success:
            raise RuleSkippedError(f"--control answered {answer.status_code} to {method} {_told(deed)}")
        return answer

    async def _run(self, command: str) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                *shlex.split(command), stdin=asyncio.subprocess.DEVNULL
            )
        except OSError as error:
            raise RuleSkippedError(f"--reboot cannot be run: {error.strerror}") from error
        try:
            async with asyncio.timeout(_REBOOT_COMMAND_SECONDS):
                status = await process.wait()
        except TimeoutError as error:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise RuleSkippedError(f"--reboot did not end within {_REBOOT_COMMAND_SECONDS} s") from error
        if status != 0:
            raise RuleSkippedError(f"--reboot ended with status {status}")


def _actuations(body: bytes) -> list[tuple[str, str]]:
    """Return command and phase of each line. Raises Skipped."""
    try:
        lines = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RuleSkippedError(f"--control: {_told(_ACTUATIONS)} is not JSON") from error
    if not isinstance(lines, list):
        raise RuleSkippedError(f"--control: {_told(_ACTUATIONS)} is not a JSON list")
    told = []
    for line in lines:
        words = (line.get("command_id"), line.get("phase")) if isinstance(line, dict) else ()
        if not (words and all(isinstance(word, str) for word in words)):
            raise RuleSkippedError(
                f"--control: {_told(_ACTUATIONS)} has a line without the texts command_id and phase "
                "(docs/conformance.md, The control interface)"
            )
        told.append((str(words[0]), str(words[1])))
    return told


def _told(deed: str) -> str:
    return f"/vehicles/VIN{deed}"
