"""What each change of a command costs the record: statements, transactions and messages, counted at the engine.

These are bounds: a change that passes one makes every command dearer. Find out why before it is raised.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from sqlalchemy import event

from services.command.adapters.store import tables
from services.command.domain.commands import Status
from services.command.domain.reports import CommandReceipt
from services.command.usecases import requests as usecases
from services.command.usecases.ports import StaleStateError
from services.command.usecases.recording import commit
from tests.support.command_store_harness import LOCK, VIN, open_room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator
    from pathlib import Path

    from services.command.domain.commands import Command
    from services.command.usecases.ports import CommandTransaction
    from services.platform.outbox import OutgoingMessage
    from tests.support.command_store_harness import CommandStoreHarness

_BEGIN = "BEGIN"


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[CommandStoreHarness]:
    async with open_room(f"sqlite:///{tmp_path}/room.sqlite3") as opened:
        yield opened


@dataclass(slots=True)
class Cost:
    """What was run since it was made."""

    statements: int = 0
    writes: int = 0


@contextmanager
def counted(service: CommandStoreHarness, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cost]:
    cost = Cost()
    real: Any = service.database._real
    write = real.write

    def ran(_connection: Any, _cursor: Any, text: str, *_: Any) -> None:
        cost.statements += not text.startswith(_BEGIN)

    async def counting(work: Callable[[Any], Any]) -> Any:
        cost.writes += 1
        return await write(work)

    event.listen(real._engine, "before_cursor_execute", ran)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(real, "write", counting)
            yield cost
    finally:
        event.remove(real._engine, "before_cursor_execute", ran)


async def test_a_command_and_its_result_cost_no_more_than_they_must(
    service: CommandStoreHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted(service, monkeypatch) as accepting:
        command = await service.request()
    assert accepting.writes == 1
    assert accepting.statements <= 4  # command, history, audit, messages
    service.dispatch.leave()
    with counted(service, monkeypatch) as receiving:
        await service.report(CommandReceipt("m-0", VIN, command.command_id, service.now))
    assert receiving.writes == 1
    assert receiving.statements <= 4  # load, inbox, mark, message
    with counted(service, monkeypatch) as ending:
        await service.report(service.succeeded(command))
    assert ending.writes == 1
    assert ending.statements <= 7  # load, cancellations, inbox, end, history, audit, message
    with counted(service, monkeypatch) as repeated:
        await service.report(service.succeeded(command))
    assert (repeated.writes, repeated.statements <= 2) == (1, True)
    assert await service.count(tables.outbox.table) == 4


async def test_a_batch_costs_less_than_its_reports_alone(
    service: CommandStoreHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    vins = [f"{VIN[:-2]}{number:02}" for number in range(8)]
    commands = [await service.request(f"c-{vin}", vin=vin) for vin in vins]
    results = [replace(service.succeeded(each, f"m-{each.vin}"), vin=each.vin) for each in commands]
    with counted(service, monkeypatch) as cost:
        await service.report(*results)
    assert cost.writes == 1
    assert (
        cost.statements <= 8 * 4 + 3
    )  # of each: inbox, end, history, audit; of all: load, cancellations, messages


async def test_a_lock_in_the_place_of_an_unlock_is_one_transaction(
    service: CommandStoreHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.request()
    service.dispatch.leave()
    with counted(service, monkeypatch) as cost:
        await service.request("c-2", LOCK)
    assert cost.writes == 2  # the first meets the unlock
    assert cost.statements <= 14


class StaleOnce:
    """A record of which another has changed the commands that are loaded first."""

    def __init__(self, service: CommandStoreHarness) -> None:
        self._write = service.commands.write
        self.loaded: list[Status] = []

    async def write(self, work: Callable[[CommandTransaction], Any]) -> Any:
        def run(transaction: CommandTransaction) -> Any:
            commands = transaction.commands

            def stale(command_ids: Iterable[str]) -> dict[str, Command]:
                found = commands(command_ids)
                if not self.loaded:
                    found = {
                        each: replace(command, status=Status.PENDING, ending=None)
                        for each, command in found.items()
                    }
                self.loaded += [command.status for command in found.values()]
                return found

            transaction.commands = stale  # type: ignore[method-assign]
            return work(transaction)

        return await self._write(run)


async def test_what_was_decided_on_an_old_state_is_decided_again(
    service: CommandStoreHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write finds that the command has ended: nothing is kept of it, and the result is seen to be late."""
    command = await service.request()
    service.pass_seconds(31)
    await usecases.time_out_overdue(service.deps)
    record = StaleOnce(service)
    monkeypatch.setattr(service.commands, "write", record.write)
    assert await service.report(service.succeeded(command)) == []
    assert record.loaded == [Status.PENDING, Status.TIMEOUT]
    found = await service.find(command)
    assert found.status is Status.TIMEOUT
    assert found.late_result is not None
    assert found.late_result.status is Status.SUCCESS


async def test_what_is_stale_again_and_again_is_given_up(service: CommandStoreHarness) -> None:
    tried: list[CommandTransaction] = []

    def work(transaction: CommandTransaction) -> tuple[None, list[OutgoingMessage]]:
        tried.append(transaction)
        raise StaleStateError

    with pytest.raises(StaleStateError):
        await commit(service.deps, work)
    assert len(tried) == 3
