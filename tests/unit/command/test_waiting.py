from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from services.command.usecases import waiting
from services.command.usecases.waiting import CommandWaits

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from services.command.usecases.waiting import CommandWait


class FakeReplicas:
    """Everybody hears everybody, at once."""

    def __init__(self) -> None:
        self.processes: list[CommandWaits] = []
        self.told: list[tuple[str, str]] = []

    def process(self, most: int = 8, most_of_one: int = 2) -> CommandWaits:
        self.processes.append(CommandWaits(self, most, most_of_one))
        return self.processes[-1]

    def tell_awaited(self, command_id: str) -> None:
        self.told.append(("awaited", command_id))
        for process in self.processes:
            process.awaited(command_id)

    def tell_ended(self, command_id: str) -> None:
        self.told.append(("ended", command_id))
        for process in self.processes:
            process.ended(command_id)


@contextlib.contextmanager
def waiting_for(waits: CommandWaits, command_id: str, person: str) -> Iterator[CommandWait | None]:
    with waits.waiting(person) as wait:
        if wait is not None:
            waits.follow(wait, command_id)
        yield wait


async def test_the_commit_that_ends_a_command_wakes_who_waits_for_it_and_nobody_else() -> None:
    waits = FakeReplicas().process()
    with waiting_for(waits, "cmd-1", "user-1") as mine, waiting_for(waits, "cmd-2", "user-2") as other:
        assert mine
        assert other
        waits.committed(["cmd-1"])
        assert await mine.until_ended(60)
        assert not await other.until_ended(0)


async def test_a_commit_of_another_replica_wakes_them_too() -> None:
    replicas = FakeReplicas()
    here, there = replicas.process(), replicas.process()
    with waiting_for(here, "cmd-1", "user-1") as wait:
        assert wait
        there.committed(["cmd-1"])
        assert await wait.until_ended(60)


async def test_what_another_replica_ended_a_moment_before_it_heard_is_told_as_well() -> None:
    replicas = FakeReplicas()
    here, there = replicas.process(), replicas.process()
    there.committed(["cmd-1"])
    with waiting_for(here, "cmd-1", "user-1") as wait:
        assert wait
        assert await wait.until_ended(60)


async def test_a_command_that_nobody_waits_for_costs_no_message() -> None:
    replicas = FakeReplicas()
    here, there = replicas.process(), replicas.process()
    here.committed(["cmd-1"])
    there.committed(["cmd-2"])
    assert replicas.told == []


async def test_a_wait_ends_with_its_time() -> None:
    waits = FakeReplicas().process()
    with waiting_for(waits, "cmd-1", "user-1") as wait:
        assert wait
        assert not await wait.until_ended(0.01)


async def test_too_many_waits_of_one_and_of_all_are_none_and_what_ended_makes_room() -> None:
    waits = FakeReplicas().process(most=3, most_of_one=2)
    with waiting_for(waits, "cmd-1", "user-1") as one, waiting_for(waits, "cmd-2", "user-1") as two:
        assert one
        assert two
        with waiting_for(waits, "cmd-3", "user-1") as three:
            assert three is None
        with waiting_for(waits, "cmd-3", "user-2") as three, waiting_for(waits, "cmd-4", "user-3") as four:
            assert three
            assert four is None
    with waiting_for(waits, "cmd-5", "user-1") as five:
        assert five


async def test_a_process_that_ends_lets_nobody_wait() -> None:
    waits = FakeReplicas().process()
    with waiting_for(waits, "cmd-1", "user-1") as wait:
        assert wait
        waits.close()
        assert await wait.until_ended(60)
    with waiting_for(waits, "cmd-2", "user-1") as late:
        assert late is None


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MOST_REMEMBERED", 10)
    waits = FakeReplicas().process()
    waits.committed(f"cmd-{n}" for n in range(100))
    for n in range(100, 200):
        waits.awaited(f"cmd-{n}")
    assert len(waits._ended) == len(waits._awaited_elsewhere) == 10
