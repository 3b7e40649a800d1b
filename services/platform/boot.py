"""Starting and stopping a process: one event loop, settings checked first, signals that drain."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import structlog
import uvloop

from services.platform import logs
from services.platform.settings import ServerSettings, SettingsError, ignored, load

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Settings = TypeVar("Settings", bound=ServerSettings)

SWITCH_SECONDS = 0.000_2
"""How soon a thread that waits for the interpreter's lock asks for it. With Python's own 5 ms a busy event loop,
which lets go of the lock for shorter moments than a thread takes to wake, can keep it waiting for seconds."""


GC_THRESHOLDS = (10_000, 20, 50)
"""Most of a call's garbage goes by reference counts; Python's own thresholds collect several times a second."""
_CANCEL_AGAIN_SECONDS = 0.5
STOP_SECONDS = 10.0
"""How long a stop may take beyond the drain: then the process ends as it is."""
_log = structlog.get_logger()


def run(
    service: str, model: type[Settings], main: Callable[[Settings, asyncio.Event], Awaitable[None]]
) -> None:
    """Run `main(settings, stop)` until it returns; SIGTERM and SIGINT set `stop`.

    Wrong settings end the process with status 2 and a line for each; any other failure with status 1.
    """
    try:
        settings = load(model, os.environ)
    except SettingsError as refused:
        print(f"{service} cannot start:\n{refused}", file=sys.stderr)  # noqa: T201  # logs are not configured yet
        sys.exit(2)
    logs.configure(settings.log_level, service)
    if unread := ignored(model, os.environ):
        _log.warning("settings_ignored", names=unread)
    sys.setswitchinterval(SWITCH_SECONDS)
    # What was imported stays for ever: the collector need not walk through it again and again.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        uvloop.run(_until_signalled(settings, main))
    except Exception:  # noqa: BLE001  # the last line of defence: say why, in the log's own form
        _log.exception("room_failed")
        sys.exit(1)


async def _until_signalled(
    settings: Settings, main: Callable[[Settings, asyncio.Event], Awaitable[None]]
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    running = asyncio.ensure_future(main(settings, stop))
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait([running, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    grace_seconds = settings.drain_seconds + STOP_SECONDS
    await asyncio.wait([running], timeout=grace_seconds)
    if not running.done():
        # What it waits for may be the very part that has died.
        _log.error("stop_takes_too_long", seconds=grace_seconds)
        os._exit(1)
    running.result()


async def close_all(*closing: Callable[[], Awaitable[None]]) -> None:
    """Close one after the other."""
    for close in closing:
        await close()


class BackgroundTaskDiedError(Exception):
    """A loop that should never end has ended; the text says which and why."""


async def run_until(stop: asyncio.Event, *loops: Awaitable[None]) -> None:
    """Run endless loops beside each other until `stop` is set, then cancel them.

    When one ends before, for whatever reason, all end, and `stop` is set for whoever else waits for it: a service
    with a dead loop must not look alive. Raises the first exception that any of them raises,
    BackgroundTaskDiedError for one that just ended.
    """
    names = [_name_of(each) for each in loops]
    tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(each) for each in loops]
    stopped: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
    try:
        done, _ = await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
        for name, task in zip(names, tasks, strict=True):
            if task in done:
                stop.set()
                _raise_death(name, task)
    finally:
        everything = [*tasks, stopped]
        while running := [task for task in everything if not task.done()]:
            for task in running:
                # Asked again: Python 3.11's wait_for swallows a cancellation that comes with its result.
                task.cancel()
            await asyncio.wait(running, timeout=_CANCEL_AGAIN_SECONDS)
        await asyncio.gather(*everything, return_exceptions=True)


def _raise_death(name: str, task: asyncio.Future[None]) -> NoReturn:
    error = None if task.cancelled() else task.exception()
    cause = _first(error) if error is not None else None
    reason = f"{type(cause).__name__}: {cause}" if cause is not None else "it ended"
    notes = [note for each in (error, cause) for note in getattr(each, "__notes__", ())]
    _log.error("background_task_died", task=name, reason=reason, about=sorted(set(notes)))
    if error is None:
        raise BackgroundTaskDiedError(f"{name}: {reason}")
    raise error


def _first(error: BaseException) -> BaseException:
    """Of a group, the first that is no group itself."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _name_of(loop: Awaitable[None]) -> str:
    return getattr(loop, "__qualname__", type(loop).__name__)
