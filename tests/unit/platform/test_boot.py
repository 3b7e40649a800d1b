"""Starting and stopping a process, seen from outside it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from services.platform.boot import BackgroundTaskDiedError, run_until

if TYPE_CHECKING:
    from collections.abc import Mapping

REPOSITORY = Path(__file__).parents[3]
SERVICE = """
import asyncio, logging, sys
from services.platform import boot
from services.platform.settings import ServiceSettings

async def main(settings, stop):
    if "fail" in sys.argv:
        raise RuntimeError("broken inside")
    if "log" in sys.argv:
        try:
            raise ValueError('a "quoted" line\\nand another')
        except ValueError:
            logging.getLogger("library").exception('said "so"')
        return
    if "dies" in sys.argv:
        async def relay():
            async with asyncio.TaskGroup() as parts:
                parts.create_task(breaks())
        async def breaks():
            error = KeyError("a row")
            error.add_note("outbox queue vehicle")
            raise error
        try:
            await boot.run_until(stop, asyncio.Event().wait(), relay())
        finally:
            await asyncio.Event().wait()  # for a part that has died, like a writer that answers nobody
    print("ready", flush=True)
    await boot.run_until(stop, asyncio.Event().wait())
    print("drained", flush=True)

boot.STOP_SECONDS = 0.2
boot.run("test", ServiceSettings, main)
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    given = {
        "LISTEN": "127.0.0.1:0",
        "DATABASE_URL": "sqlite:///x",
        "NATS_URL": "nats://localhost",
        "NATS_USER": "u",
    }
    for name in ("TLS_CERT", "TLS_KEY", "TLS_CA", "NATS_PASSWORD_FILE", "CAPABILITY_JWKS"):
        (tmp_path / name).touch()
        given[name] = str(tmp_path / name)
    return {f"DOORS_{name}": value for name, value in given.items()}


def start(environ: Mapping[str, str], *arguments: str) -> subprocess.Popen[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("DOORS_")}
    return subprocess.Popen(
        [sys.executable, "-c", SERVICE, *arguments],
        env={**plain, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'gen'}", **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_wrong_settings_end_it_with_2_and_a_line_each(environ: dict[str, str]) -> None:
    del environ["DOORS_NATS_USER"], environ["DOORS_LISTEN"]
    process = start(environ)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.splitlines() == [
        "test cannot start:",
        "DOORS_LISTEN: Field required",
        "DOORS_NATS_USER: Field required",
    ]
    assert out == ""


def test_a_failure_ends_it_with_1_and_one_line_of_json(environ: dict[str, str]) -> None:
    process = start(environ, "fail")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    [line] = [json.loads(each) for each in err.splitlines()]
    assert (line["event"], line["service"], line["level"]) == ("room_failed", "test", "error")
    assert "broken inside" in line["exception"]


def test_a_dead_background_task_ends_it_with_a_line_that_names_it_whatever_its_end_waits_for(
    environ: dict[str, str],
) -> None:
    process = start({**environ, "DOORS_DRAIN_SECONDS": "0"}, "dies")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    lines = [json.loads(each) for each in err.splitlines()]
    assert [line["event"] for line in lines] == ["background_task_died", "stop_takes_too_long"]
    assert lines[0]["task"].endswith("relay")
    assert lines[0]["reason"] == "KeyError: 'a row'"
    assert lines[0]["about"] == ["outbox queue vehicle"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_it(environ: dict[str, str], number: signal.Signals) -> None:
    process = start(environ)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "drained\n", "")


def test_a_librarys_log_is_one_line_of_json_too(environ: dict[str, str]) -> None:
    process = start(environ, "log")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    [line] = [json.loads(each) for each in err.splitlines()]
    assert (line["event"], line["logger"], line["service"]) == ('said "so"', "library", "test")
    assert 'a "quoted" line\nand another' in line["exception"]


async def test_a_loop_that_breaks_ends_the_room_and_the_other_loops() -> None:
    ended = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def breaks() -> None:
        raise RuntimeError("dead loop")

    with pytest.raises(RuntimeError, match="dead loop"):
        await run_until(asyncio.Event(), endless(), breaks())
    assert ended.is_set()


async def test_a_loop_that_just_ends_is_dead_too_and_stops_the_room() -> None:
    stop = asyncio.Event()

    async def ends() -> None:
        return

    with pytest.raises(BackgroundTaskDiedError, match="ends: it ended"):
        await run_until(stop, ends())
    assert stop.is_set()


async def test_loops_are_cancelled_when_the_room_stops_and_may_finish() -> None:
    stop, finished = asyncio.Event(), asyncio.Event()

    async def finishes() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            finished.set()

    running = asyncio.create_task(run_until(stop, finishes()))
    await asyncio.sleep(0)
    stop.set()
    await running
    assert finished.is_set()
