"""Components as forks of a process that has imported what they need."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from multiprocessing import forkserver
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh.component import MeshComponent, RunningComponent
from mesh.edge_config import ROOT
from mesh.fork_server import ForkServer, is_possible
from mesh.probes import ready_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mesh.fork_server import ForkedProcess

pytestmark = [
    pytest.mark.skipif(not is_possible(), reason="components cannot be forked here"),
    pytest.mark.xdist_group("fork_server"),
]

TELLS = """
import json, os, resource, sys
print(json.dumps({
    "environment": dict(os.environ), "folder": os.getcwd(),
    "session": os.getsid(0) == os.getpid(), "words": sys.argv[1:],
    "name": __name__, "imported": [name for name in ("told_before", "nowhere") if name in sys.modules],
    "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 1024, "input": sys.stdin.read(),
}))
sys.exit(7)
"""
WAITS = """
import time
print('{"event": "ready"}', flush=True)
time.sleep(60)
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForkServer]:
    """One of its own: that of another test has imported other things."""
    _stop_server()
    for name, text in (("tells", TELLS), ("waits", WAITS)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        (tmp_path / name / "__main__.py").write_text(text)
    (tmp_path / "told_before.py").touch()
    (tmp_path / "nowhere.py").write_text("raise RuntimeError('broken')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}:{ROOT / 'gen'}")
    monkeypatch.setenv("MESH_FORK_IMPORTS", "")
    yield ForkServer(["no_such_module", "nowhere", "told_before"])
    _stop_server()


def _stop_server() -> None:
    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # it has no public end


def _server_pid() -> int:
    return int(forkserver._forkserver._forkserver_pid)  # type: ignore[attr-defined]


async def _started(server: ForkServer, module: str, folder: Path) -> ForkedProcess:
    return await server.start(module, {"ONLY": "this", "PATH": "/bin"}, folder, folder / "its.log")


async def test_a_fork_is_what_python_dash_m_would_be(server: ForkServer, tmp_path: Path) -> None:
    server.begin()
    forked = await _started(server, "tells", tmp_path)
    assert await forked.wait() == 7
    assert forked.returncode == 7
    assert json.loads((tmp_path / "its.log").read_text()) == {
        "environment": {"ONLY": "this", "PATH": "/bin"},
        "folder": str(tmp_path),
        "session": True,
        "words": [],
        "name": "__main__",
        "imported": ["told_before"],
        "files": True,
        "input": "",
    }


async def test_what_ended_can_be_sent_nothing(server: ForkServer, tmp_path: Path) -> None:
    forked = await _started(server, "waits", tmp_path)
    forked.terminate()
    assert await forked.wait() == -signal.SIGTERM
    for send in (forked.terminate, forked.kill):
        with pytest.raises(ProcessLookupError):
            send()


async def test_all_forks_end_with_their_server_and_another_begins(server: ForkServer, tmp_path: Path) -> None:
    forked = await _started(server, "waits", tmp_path)
    first = _server_pid()
    os.kill(first, signal.SIGKILL)
    assert await forked.wait() != 0
    async with asyncio.timeout(30):
        while _is_there(forked.pid):  # noqa: ASYNC110  # another process's end
            await asyncio.sleep(0.01)
    again = await _started(server, "waits", tmp_path)
    assert again.returncode is None
    assert _server_pid() != first
    again.kill()
    assert await again.wait() == -signal.SIGKILL


def _is_there(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _is_fork(pid: int) -> bool:
    return "forkserver" in Path(f"/proc/{pid}/cmdline").read_text()


async def test_a_component_in_python_is_forked_and_any_other_is_a_program(
    server: ForkServer, tmp_path: Path
) -> None:
    for name, command in (
        ("forked", (sys.executable, "-m", "waits")),
        ("program", ("/bin/sh", "-c", 'echo \'{"event": "ready"}\'; exec sleep 60')),
    ):
        log = tmp_path / f"{name}.log"
        component = MeshComponent(name, command, {"PATH": "/bin"}, log, lambda log=log: ready_line(log))
        running = await RunningComponent.start(component, tmp_path, server)
        await running.until_ready(component.probe())
        assert _is_fork(running.pid) == (name == "forked")
        await running.stop()
        assert running.obituary() == f"{name} was ended by SIGTERM"


@pytest.mark.parametrize("error", [PermissionError, AttributeError])
def test_where_no_process_is_held_by_a_handle_components_are_programs(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refused(_: int) -> int:
        raise error

    monkeypatch.setattr(os, "pidfd_open", refused)
    assert not is_possible()
