"""Components written in Python as forks of one process that has imported what they need.

Each would otherwise spend seconds and a hundred megabytes of its own on the same modules. The process that is forked,
Python's own fork server, imports and does nothing else: it has one thread and no secret. It ends with the mesh, and
every fork with it. Where that cannot be done each component is a program.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import multiprocessing
import os
import runpy
import signal
import sys
import threading
from multiprocessing import forkserver
from pathlib import Path
from typing import TYPE_CHECKING

from mesh.leash import hold_leash, raise_file_limit
from mesh.logs import opened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from multiprocessing.process import BaseProcess

_TO_IMPORT = "MESH_FORK_IMPORTS"
_OWN_PID = os.getpid()
"""Of the process that imported this: in a fork, that of the one it was forked from."""


def is_possible() -> bool:
    """Return whether components can be forked here: on Linux, where a process can be held by a handle (some containers
    do not let one).
    """
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return sys.platform == "linux"


class ForkServer:
    """The process that is forked, with these modules imported. There is one at a time.

    It takes over the environment of its starter, whenever it is started; that should hold no secret by then.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self._one_at_a_time = threading.Lock()
        os.environ[_TO_IMPORT] = " ".join(modules)
        multiprocessing.set_forkserver_preload(["mesh.fork_imports"])

    def begin(self) -> None:
        """Let it begin to import, where it does not run. Returns at once."""
        forkserver.ensure_running()

    async def start(
        self, module: str, environment: Mapping[str, str], folder: Path, log: Path
    ) -> ForkedProcess:
        """Run `python -m module` in a fork, in a session of its own, its output appended to `log`.

        Raises OSError where it cannot be forked.
        """
        context = multiprocessing.get_context("forkserver")
        words = (module, dict(environment), str(folder), str(log))
        process = context.Process(target=become, args=words, daemon=True)

        def start() -> None:
            with self._one_at_a_time:
                try:
                    process.start()  # begins anew where the server has died
                except EOFError as died:
                    raise ChildProcessError(f"{module} was not forked: the fork server has died") from died

        await asyncio.to_thread(start)
        return ForkedProcess(process)


class ForkedProcess:
    """One fork: what `asyncio.subprocess.Process` is for a program."""

    def __init__(self, process: BaseProcess) -> None:
        self.pid = int(process.pid or 0)
        self.returncode: int | None = None
        self._process = process
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._handle: int | None = None
        # The server buries its dead at once, and such a handle never comes to mean another process.
        with contextlib.suppress(ProcessLookupError):
            self._handle = os.pidfd_open(self.pid)
        asyncio.get_running_loop().add_reader(process.sentinel, self._bury)

    def _bury(self) -> None:
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        status = int(self._process.exitcode or 0)
        self._process.close()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
        self.returncode = status
        self._ended.set_result(status)

    async def wait(self) -> int:
        """Return the exit status, negative for a signal, once it has ended."""
        return await asyncio.shield(self._ended)

    def terminate(self) -> None:
        """SIGTERM. Raises ProcessLookupError when it has ended."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL. Raises ProcessLookupError when it has ended."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._handle is None:
            raise ProcessLookupError
        signal.pidfd_send_signal(self._handle, number)


def import_all() -> None:
    """Import what was asked for. What cannot be imported is left to the component that needs it, which says why."""
    sys.dont_write_bytecode = False  # without compiled code every start would compile for seconds
    gc.disable()  # next to nothing of this is garbage
    for name in os.environ.pop(_TO_IMPORT, "").split():
        with contextlib.suppress(Exception):
            importlib.import_module(name)
        if name.endswith(".__main__"):
            sys.modules.pop(name, None)  # that is run, as `python -m` runs it, in the fork
    gc.collect()
    gc.freeze()  # a collection in a fork would write to, and so copy, every page
    gc.enable()


def become(module: str, environment: Mapping[str, str], folder: str, log: str) -> None:
    """Be `python -m module` from here on, on the leash of the process that this was forked from."""
    os.setsid()
    with opened(Path(log)) as said:
        for number in (1, 2):
            os.dup2(said.fileno(), number)
    hold_leash(_OWN_PID)
    raise_file_limit()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
