"""The command service as a process that is killed in the middle of its work, again and again."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import sys
from contextlib import AsyncExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import pytest_asyncio
from ecarus.remotecontrol.door.v1.door_command_pb2 import CommandStatus

from tests.messaging.command_harness import App, CommandHarness, until
from tests.messaging.fake_vehicle import FakeVehicle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

VINS = [f"KMHSH81C7LU12345{n}" for n in range(4)]
TTL_SECONDS = 3
KILLS = 4
_EXPECTED = {grpc.StatusCode.ABORTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
"""Another command is in flight; the service is dead, or died while it was asked."""
ENDS = ("SUCCESS", "FAILED", "TIMEOUT", "CANCELLED")


class ServiceProcess:
    """`python -m services.command`; `kill` is a crash."""

    def __init__(self, harness: CommandHarness, log: Path) -> None:
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": ".:gen",
            **harness.environment(ttl_seconds=TTL_SECONDS),
        }
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.command", env=self._environment, stdout=log, stderr=log
            )

    async def kill(self) -> None:
        """End it, if it has not ended."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@pytest_asyncio.fixture
async def harness(nats_server: Any, tmp_path: Path) -> AsyncIterator[CommandHarness]:
    harness = CommandHarness(tmp_path, nats_server)
    await harness.neighbours.come_back()
    yield harness
    await harness.neighbours.go_away()


async def keep_asking(app: App, vin: str, enough: asyncio.Event) -> list[str]:
    """The ids of the commands that were answered with 202."""
    accepted: list[str] = []
    number = 0
    while not enough.is_set():
        number += 1
        try:
            accepted.append(await app.unlock(f"c-{number}", vin))
        except grpc.aio.AioRpcError as error:
            if error.code() not in _EXPECTED:
                raise
            await asyncio.sleep(0.02)
    return accepted


async def end_all(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel what still runs, and wait for it."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def answers(app: App) -> bool:
    """Whether the service serves again; a connection to the one that died may still be tried first, and among many
    other tests a start takes longer than a call.
    """
    try:
        await app.history(VINS[0], wait_for_ready=True)
    except grpc.aio.AioRpcError as error:
        if error.code() not in {*_EXPECTED, grpc.StatusCode.DEADLINE_EXCEEDED}:
            raise
        return False
    return True


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [1, 2])
async def test_every_command_that_was_taken_in_ends_once_whatever_crashes(
    harness: CommandHarness, nats_server: Any, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311  # not for secrets
    service = ServiceProcess(harness, tmp_path / "room.log")
    vehicles = [FakeVehicle(nats_server, vin) for vin in VINS]
    enough = asyncio.Event()
    # Whatever fails, nothing goes on behind it: what a test leaves to its loop may wait there for ever.
    async with AsyncExitStack() as ending:
        await service.start()
        ending.push_async_callback(service.kill)
        for vehicle in vehicles:
            await vehicle.wake()
            ending.push_async_callback(vehicle.sleep)
        channel = await ending.enter_async_context(harness.edge())
        app = App(harness, channel)
        asking = [asyncio.create_task(keep_asking(app, vin, enough)) for vin in VINS]
        ending.push_async_callback(end_all, asking)
        for turn in range(KILLS):
            async with asyncio.timeout(60):
                await channel.channel_ready()
            await asyncio.sleep(chance.uniform(0.02, 0.6))  # the crash's moment, not a wait
            await service.kill()
            if turn == KILLS // 2:
                await asyncio.to_thread(nats_server.wipe)
            await service.start()
            await until(partial(answers, app))
        enough.set()
        accepted = dict(zip(VINS, await asyncio.gather(*asking), strict=True))
        for vin, command_ids in accepted.items():
            for command_id in command_ids:
                await app.reaches(command_id, *ENDS, vin=vin)
        told = {
            command_id: CommandStatus.Value.Name((await app.details(command_id, vin)).status)
            for vin, command_ids in accepted.items()
            for command_id in command_ids
        }
    assert len(told) > KILLS
    assert len(told) == sum(map(len, accepted.values()))
    assert_the_record_agrees(harness.database)
    actuated = [command_id for vehicle in vehicles for command_id in vehicle.actuated]
    assert len(actuated) == len(set(actuated))
    assert {command_id for command_id, status in told.items() if status == "SUCCESS"} <= set(actuated)
    assert not {command_id for command_id, status in told.items() if status == "CANCELLED"} & set(actuated)


def assert_the_record_agrees(database: Path) -> None:
    """Command, history, audit and outbox tell the same."""
    with closing(sqlite3.connect(database)) as connection:

        def ids(query: str) -> list[str]:
            return sorted(row[0] for row in connection.execute(query))

        commands = ids("SELECT command_id FROM command")
        ended = ids("SELECT command_id FROM command WHERE finished_at IS NOT NULL")
        # What was refused at once is in the history, too, and was never a command.
        of_commands = "SELECT entry_id FROM history WHERE entry_id NOT LIKE 'refused-%'"
        assert ids(of_commands) == commands
        assert ids("SELECT command_id FROM audit WHERE event = 'COMMAND_ACCEPTED'") == commands
        assert ids("SELECT message_id FROM outbox WHERE queue = 'vehicle'") == commands
        assert ids(f"{of_commands} AND finished_at IS NOT NULL") == ended
        finals = "('COMMAND_SUCCESS', 'COMMAND_FAILED', 'COMMAND_TIMEOUT', 'COMMAND_CANCELLED')"
        assert ids(f"SELECT command_id FROM audit WHERE event IN {finals}") == ended  # noqa: S608  # a constant
        announced = "SELECT replace(message_id, ':PENDING', '') FROM outbox WHERE message_id LIKE '%:PENDING'"
        assert ids(announced) == commands
        differing = """SELECT command.command_id FROM command JOIN history ON entry_id = command.command_id
            WHERE command.status <> history.status AND history.status IS NOT NULL"""
        assert ids(differing) == []
