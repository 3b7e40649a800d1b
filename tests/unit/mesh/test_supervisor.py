"""The supervisor with small real processes instead of the product's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh.activity import activity_of
from mesh.component import ComponentFailedError, MeshComponent, RunningComponent, last_line
from mesh.edge_config import ROOT
from mesh.plan import Plan
from mesh.ports import Ports
from mesh.probes import ready_line
from mesh.sandbox import Sandbox
from mesh.supervisor import (
    FAILED_LOOKS,
    HUNG_SECONDS,
    LONGEST_PAUSE_SECONDS,
    ProbeTolerance,
    RestartBackoff,
    Supervisor,
    hung_seconds,
)
from mesh.welcome import welcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

READY = 'echo \'{"event": "ready"}\'; exec sleep 60'
NO_SOCKET = Path("/nonexistent")  # so there is no Envoy to drain


def component(folder: Path, name: str, script: str) -> MeshComponent:
    log = folder / f"{name}.log"
    return MeshComponent(
        name=name,
        command=("/bin/sh", "-c", script),
        environment=dict(os.environ),
        log=log,
        probe=lambda: ready_line(log),
    )


class Console:
    """Collects lines and lets a test wait for one."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._changed = asyncio.Event()

    def say(self, line: str) -> None:
        self.lines.append(line)
        self._changed.set()

    async def wait_for(self, is_it: Callable[[str], bool]) -> str:
        async with asyncio.timeout(60):
            while not (found := [line for line in self.lines if is_it(line)]):
                self._changed.clear()
                await self._changed.wait()
        return found[0]


def supervisor(
    folder: Path,
    console: Console,
    command: str = READY,
    is_alive: Callable[[], Awaitable[bool]] | None = None,
    hung_seconds: float = 3600.0,
) -> Supervisor:
    plan = Plan(
        nats=component(folder, "nats", READY),
        services=(replace(component(folder, "command", command), is_alive=is_alive),),
        envoy=component(folder, "envoy", READY),
        vehicles=component(folder, "vehicles", READY),
    )
    return Supervisor(
        plan,
        NO_SOCKET,
        say=console.say,
        welcome=lambda: console.say("welcome"),
        look_seconds=0.02,
        hung_seconds=hung_seconds,
    )


def pid_in(line: str) -> int:
    return int(line.rpartition("pid ")[2].rstrip(")"))


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_start_in_order_and_stop_all(tmp_path: Path) -> None:
    console, stop = Console(), asyncio.Event()
    run = asyncio.create_task(supervisor(tmp_path, console).run(stop))
    await console.wait_for(lambda line: line == "welcome")
    names = [line.split()[0] for line in console.lines]
    assert names[0] == "nats"
    assert set(names[-3:-1]) == {"vehicles", "envoy"}  # beside each other
    assert names[-1] == "welcome"
    pids = [pid_in(line) for line in console.lines if "pid" in line]
    stop.set()
    await run
    assert all(is_gone(pid) for pid in pids)


async def test_a_killed_component_is_started_again(tmp_path: Path) -> None:
    console, stop = Console(), asyncio.Event()
    run = asyncio.create_task(supervisor(tmp_path, console).run(stop))
    await console.wait_for(lambda line: line == "welcome")
    first = pid_in(next(line for line in console.lines if line.startswith("command ready")))
    os.kill(first, signal.SIGKILL)
    assert "SIGKILL" in await console.wait_for(lambda line: "restarting in" in line)
    again = await console.wait_for(lambda line: line.startswith("command ready") and pid_in(line) != first)
    assert not is_gone(pid_in(again))
    stop.set()
    await run


async def test_a_component_that_dies_at_start_ends_it_all_with_the_reason(tmp_path: Path) -> None:
    console = Console()
    broken = supervisor(tmp_path, console, command="echo starting; echo DOORS_KEY: missing; exit 2")
    with pytest.raises(ComponentFailedError, match="command ended with status 2: DOORS_KEY: missing"):
        await broken.run(asyncio.Event())
    assert "welcome" not in console.lines
    assert all(is_gone(pid_in(line)) for line in console.lines if "pid" in line)


async def test_one_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    stubborn = component(tmp_path, "stubborn", "trap '' TERM; " + READY.replace("exec ", ""))
    is_ready = stubborn.probe()
    running = await RunningComponent.start(stubborn, tmp_path)
    await running.until_ready(is_ready)
    object.__setattr__(stubborn, "stop_seconds", 0.1)
    await running.stop()
    assert await running.wait() == -signal.SIGKILL


async def test_a_component_may_open_as_many_files_as_the_system_lets_it(tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    counting = component(tmp_path, "counting", "ulimit -Sn")
    running = await RunningComponent.start(counting, tmp_path)
    assert await running.wait() == 0
    assert last_line(counting.log) == str(hard)


async def test_the_components_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import asyncio, os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from mesh.component import MeshComponent, RunningComponent\n"
        "async def main():\n"
        "    log = Path(sys.argv[2])\n"
        "    c = MeshComponent('c', ('/bin/sleep', '60'), dict(os.environ), log, lambda: None)\n"
        "    print((await RunningComponent.start(c, log.parent)).pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    words = (sys.executable, "-c", script, str(ROOT), str(tmp_path / "c.log"))
    parent = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(30):
        while not is_gone(child) and not _is_zombie(child):  # noqa: ASYNC110  # no child of ours, so no event
            await asyncio.sleep(0.01)


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("first\nlast\n\n", "last"),
        ('{"event": "failed", "exception": "Traceback\\n  line\\nKeyError: 1"}\n', "KeyError: 1"),
        ('{"event": "failed"}\n', '{"event": "failed"}'),
        ("", "no output"),
    ],
)
def test_the_last_words_of_a_log(tmp_path: Path, text: str, last: str) -> None:
    log = tmp_path / "log"
    log.write_text(text)
    assert last_line(log) == last


async def test_one_that_keeps_dying_is_tried_for_ever_and_ends_nobody_else(tmp_path: Path) -> None:
    console, stop = Console(), asyncio.Event()
    broken = tmp_path / "broken"
    script = f"test -e {broken} && {{ echo DOORS_KEY: gone; exit 1; }}; {READY}"
    run = asyncio.create_task(supervisor(tmp_path, console, script).run(stop))
    await console.wait_for(lambda line: line == "welcome")
    first = {line.split()[0]: pid_in(line) for line in console.lines if "pid" in line}
    broken.touch()
    os.kill(first["command"], signal.SIGKILL)
    # More deaths than any patience that ends: the pauses have grown to a second by then.
    await console.wait_for(lambda line: "DOORS_KEY: gone; it is tried again" in line)
    await console.wait_for(lambda line: "restarting in 1.6 s" in line)
    assert not run.done()
    assert not any(is_gone(first[name]) for name in ("nats", "envoy", "vehicles"))
    broken.unlink()
    await console.wait_for(lambda line: line.startswith("command ready") and pid_in(line) != first["command"])
    stop.set()
    await run


async def test_one_that_runs_and_does_not_serve_is_started_again(tmp_path: Path) -> None:
    console, stop = Console(), asyncio.Event()
    serves = asyncio.Event()
    serves.set()

    async def is_alive() -> bool:
        return serves.is_set()

    run = asyncio.create_task(supervisor(tmp_path, console, READY, is_alive).run(stop))
    ready = await console.wait_for(lambda line: line.startswith("command ready"))
    await console.wait_for(lambda line: line == "welcome")
    serves.clear()
    await console.wait_for(lambda line: line.startswith("command ran and did not serve; restarting"))
    serves.set()
    again = await console.wait_for(lambda line: line.startswith("command ready") and line != ready)
    assert is_gone(pid_in(ready))
    assert not is_gone(pid_in(again))
    stop.set()
    await run


class Silence:
    """A look that is answered until `begin`, and then by nobody."""

    def __init__(self) -> None:
        self.looks = 0
        self._answers = True

    def begin(self) -> None:
        self._answers = False

    def end(self) -> None:
        self._answers = True

    async def __call__(self) -> bool:
        if self._answers:
            return True
        self.looks += 1
        await asyncio.sleep(0.6)  # what a probe waits at most
        return False


@pytest.mark.skipif(activity_of("self") is None, reason="the system does not tell what threads do")
async def test_one_that_answers_nothing_and_does_nothing_is_started_again_before_one_that_is_busy(
    tmp_path: Path,
) -> None:
    looks: dict[str, int] = {}
    for name, script in (("hangs", READY), ("busy", READY.replace("exec sleep 60", "while :; do :; done"))):
        folder, silence, console, stop = tmp_path / name, Silence(), Console(), asyncio.Event()
        folder.mkdir()
        run = asyncio.create_task(supervisor(folder, console, script, silence, hung_seconds=0.1).run(stop))
        ready = await console.wait_for(lambda line: line.startswith("command ready"))
        await console.wait_for(lambda line: line == "welcome")
        silence.begin()
        await console.wait_for(lambda line: line.startswith("command ran and did not serve; restarting"))
        looks[name] = silence.looks
        silence.end()
        again = await console.wait_for(
            lambda line, ready=ready: line.startswith("command ready") and line != ready  # type: ignore[misc]  # of this round
        )
        assert is_gone(pid_in(ready))
        assert not is_gone(pid_in(again))
        stop.set()
        await run
    assert looks["hangs"] < looks["busy"] == FAILED_LOOKS


@pytest.mark.parametrize(("text", "seconds"), [(None, HUNG_SECONDS), ("", HUNG_SECONDS), ("3600", 3600.0)])
def test_how_long_one_may_hang_is_a_setting(text: str | None, seconds: float) -> None:
    assert hung_seconds(text) == seconds


@pytest.mark.parametrize("text", ["1", "3601", "8.5", "-8", "long"])
def test_how_long_one_may_hang_has_bounds(text: str) -> None:
    with pytest.raises(ValueError, match="DOORS_HUNG_SECONDS must be a number from 2 to 3600"):
        hung_seconds(text)


def test_backoff_grows_to_its_longest_and_forgets() -> None:
    backoff = RestartBackoff()
    pauses = [backoff.after(1.0) for _ in range(2_000)]
    assert pauses[:3] == [0.1, 0.2, 0.4]
    assert pauses[-1] == LONGEST_PAUSE_SECONDS
    assert backoff.after(3600.0) == 0.1


def test_patience_ends_with_failed_looks_in_a_row_and_grows_where_restarts_do_not_help() -> None:
    patience = ProbeTolerance()
    almost = [False] * (FAILED_LOOKS - 1)
    assert not any(patience.is_over(healthy=one) for one in (*almost, True, *almost, True))
    first, second, third = (_looks_until_over(patience) for _ in range(3))
    assert (first, second, third) == (FAILED_LOOKS, 2 * FAILED_LOOKS, 4 * FAILED_LOOKS)
    for _ in range(8 * FAILED_LOOKS):
        patience.is_over(healthy=True)
    assert _looks_until_over(patience) == FAILED_LOOKS


def _looks_until_over(patience: ProbeTolerance) -> int:
    looks = 1
    while not patience.is_over(healthy=False):
        looks += 1
    return looks


def test_the_first_line_of_the_welcome_is_what_tools_wait_for(tmp_path: Path) -> None:
    lines = welcome(Ports(8000), Sandbox(tmp_path), has_pages=True).splitlines()
    assert lines[0] == "ready http://127.0.0.1:8080"
    assert sum("/door/" in line for line in lines) == 9


@pytest.mark.parametrize("has_pages", [True, False])
def test_the_welcome_names_the_pages_that_there_are(tmp_path: Path, has_pages: bool) -> None:
    said = welcome(Ports(8000), Sandbox(tmp_path), has_pages=has_pages)
    assert ["/app/" in said, "/console/" in said, "/portal/" in said] == [has_pages] * 3
