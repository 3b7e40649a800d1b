"""Starting and stopping a process: one event loop, settings checked first, signals that drain."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from typing import TYPE_CHECKING, TypeVar

import structlog
import uvloop

from services.runtime import logs
from services.runtime.settings import ServerSettings, SettingsRefused, load

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Settings = TypeVar("Settings", bound=ServerSettings)

SWITCH_SECONDS = 0.000_2
"""How soon a thread that waits for the interpreter's lock asks for it. With Python's own 5 ms a busy event loop,
which lets go of the lock for shorter moments than a thread takes to wake, can keep it waiting for seconds."""


GC_THRESHOLDS = (10_000, 20, 50)
"""Most of a call's garbage goes by reference counts; Python's own thresholds collect several times a second."""
_CANCEL_AGAIN_SECONDS = 0.5


def run(room: str, model: type[Settings], main: Callable[[Settings, asyncio.Event], Awaitable[None]]) -> None:
    """Run `main(settings, stop)` until it returns; SIGTERM and SIGINT set `stop`.

    Wrong settings end the process with status 2 and a line for each; any other failure with status 1.
    """
    try:
        settings = load(model, os.environ)
    except SettingsRefused as refused:
        print(f"{room} cannot start:\n{refused}", file=sys.stderr)  # noqa: T201  # logs are not configured yet
        sys.exit(2)
    logs.configure(settings.log_level, room)
    sys.setswitchinterval(SWITCH_SECONDS)
    # What was imported stays for ever: the collector need not walk through it again and again.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        uvloop.run(_until_signalled(settings, main))
    except Exception:  # noqa: BLE001  # the last line of defence: say why, in the log's own form
        structlog.get_logger().exception("room_failed")
        sys.exit(1)


async def _until_signalled(
    settings: Settings, main: Callable[[Settings, asyncio.Event], Awaitable[None]]
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await main(settings, stop)


async def run_until(stop: asyncio.Event, *loops: Awaitable[None]) -> None:
    """Run endless loops beside each other until `stop` is set, then cancel them.

    Raises the first exception that any of them raises: a room with a dead loop must not look alive.
    """
    tasks = [asyncio.ensure_future(each) for each in loops]
    stopped = asyncio.ensure_future(stop.wait())
    try:
        done, _ = await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        everything = [*tasks, stopped]
        while running := [task for task in everything if not task.done()]:
            for task in running:
                # Asked again: Python 3.11's wait_for swallows a cancellation that comes with its result.
                task.cancel()
            await asyncio.wait(running, timeout=_CANCEL_AGAIN_SECONDS)
        await asyncio.gather(*everything, return_exceptions=True)
