"""Who hangs, and who is only busy, starved, or waits for the disk."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from mesh.activity import Activity, HangWatch, activity_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PID = 7
BEFORE = Activity(5.0, 1.0, at_the_disk=False)
told = pytest.mark.skipif(activity_of("self") is None, reason="the system does not tell what threads do")


@dataclass
class Machine:
    """What a process, and whoever watches it, did by now."""

    now: float = 0.0
    its: Activity | None = BEFORE
    own: Activity | None = BEFORE
    found: list[bool] = field(default_factory=list)

    def look(self, pid: int | str) -> Activity | None:
        return self.own if pid == "self" else self.its

    def pass_time(self, watch: HangWatch, looks: int, **share: float) -> None:
        """Look so often, half a second apart, in which each gets a share of it: ran, in_line, own_in_line."""
        for _ in range(looks):
            self.now += 0.5
            if self.its is not None:
                ran, in_line = (0.5 * share.get(name, 0.0) for name in ("ran", "in_line"))
                self.its = replace(self.its, ran=self.its.ran + ran, in_line=self.its.in_line + in_line)
            if self.own is not None:
                own_in_line = self.own.in_line + 0.5 * share.get("own_in_line", 0.0)
                self.own = Activity(self.own.ran, own_in_line, at_the_disk=False)
            self.found.append(watch.hangs())


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def watch(machine: Machine) -> HangWatch:
    return HangWatch(PID, 4.0, machine.look, lambda: machine.now)


def test_who_does_nothing_hangs_once_the_time_is_over(machine: Machine, watch: HangWatch) -> None:
    machine.pass_time(watch, 10, ran=0.01)
    assert machine.found == [False] * 8 + [True] * 2


def test_who_began_or_ended_a_thread_did_something(machine: Machine, watch: HangWatch) -> None:
    machine.its = replace(BEFORE, threads=frozenset("12"))
    machine.pass_time(watch, 7)
    # What the one did that has ended is gone from the sum, which so goes down.
    machine.its = replace(BEFORE, ran=1.0, threads=frozenset("1"))
    machine.pass_time(watch, 8)
    assert machine.found == [False] * 15
    machine.pass_time(watch, 2)
    assert machine.found[-1]


@pytest.mark.parametrize("share", [{"ran": 0.2}, {"in_line": 0.9}, {"ran": 0.06, "in_line": 0.06}])
def test_who_works_or_stands_in_line_does_not_hang(
    machine: Machine, watch: HangWatch, share: dict[str, float]
) -> None:
    machine.pass_time(watch, 50, **share)
    assert not any(machine.found)


def test_who_works_at_first_and_hangs_then_is_found_out(machine: Machine, watch: HangWatch) -> None:
    machine.pass_time(watch, 20, ran=1.0)
    machine.pass_time(watch, 12)
    assert not any(machine.found[:20])
    assert machine.found[-1]


def test_who_is_starved_judges_nobody(machine: Machine, watch: HangWatch) -> None:
    machine.pass_time(watch, 50, own_in_line=0.8)
    assert not any(machine.found)


def test_who_seldom_gets_to_look_judges_later(machine: Machine, watch: HangWatch) -> None:
    for _ in range(4):
        machine.now += 3.0
        machine.pass_time(watch, 1)
    assert not any(machine.found)
    machine.pass_time(watch, 4)
    assert machine.found[-1]


def test_who_waits_for_the_disk_does_not_hang(machine: Machine, watch: HangWatch) -> None:
    machine.its = Activity(5.0, 1.0, at_the_disk=True)
    machine.pass_time(watch, 50)
    assert not any(machine.found)


def test_an_answer_begins_it_anew(machine: Machine, watch: HangWatch) -> None:
    for _ in range(5):
        machine.pass_time(watch, 7)
        watch.answered()
    assert not any(machine.found)


@pytest.mark.parametrize("who", ["its", "own"])
def test_nobody_hangs_where_the_system_does_not_tell(machine: Machine, watch: HangWatch, who: str) -> None:
    setattr(machine, who, None)
    machine.pass_time(watch, 50)
    assert not any(machine.found)


def test_all_threads_count_and_one_at_the_disk_is_enough(tmp_path: Path) -> None:
    for thread, times, state in (("7", "1500000000 250000000 3", "S"), ("8", "500000000 250000000 9", "D")):
        folder = tmp_path / "7" / "task" / thread
        folder.mkdir(parents=True)
        (folder / "schedstat").write_text(times)
        (folder / "stat").write_text(f"{thread} (odd) name) {state} 1 1")
    assert activity_of(7, tmp_path) == Activity(2.0, 0.5, at_the_disk=True, threads=frozenset("78"))
    (tmp_path / "7" / "task" / "8" / "schedstat").unlink()
    assert activity_of(7, tmp_path) is None
    assert activity_of(9, tmp_path) is None


@contextmanager
def spinning(nice: int) -> Iterator[int]:
    words = [sys.executable, "-c", f"import os; os.nice({nice})\nwhile True: pass"]
    with subprocess.Popen(words) as process:
        try:
            yield process.pid
        finally:
            process.kill()


@told
async def test_on_a_crowded_machine_who_is_stopped_hangs_and_who_gets_no_turn_does_not() -> None:
    with ExitStack() as crowd:
        pids = [crowd.enter_context(spinning(19)) for _ in range(10 * (os.cpu_count() or 1))]
        stopped, starved = pids[:2]
        os.kill(stopped, signal.SIGSTOP)
        hangs, busy = HangWatch(stopped, 1.0), HangWatch(starved, 1.0)
        async with asyncio.timeout(60):
            while not hangs.hangs():
                await asyncio.sleep(0.05)
                assert not busy.hangs()
