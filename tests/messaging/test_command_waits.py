"""Two replicas of the command service, and somebody who waits at the one for what the other ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import nats
import pytest_asyncio

from protocol.subjects import COMMAND_AWAITED_SUBJECT, COMMAND_ENDED_SUBJECT
from services.command.adapters.wait_link import BrokerReplicas
from services.command.usecases.waiting import CommandWaits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nats.aio.client import Client

WAIT_SECONDS = 60


@pytest_asyncio.fixture
async def clients(nats_server: Any) -> AsyncIterator[list[Client]]:
    settings = nats_server.settings()
    clients = [
        await nats.connect(
            nats_server.url, user=settings.nats_user, password=settings.nats_password_file.read_text()
        )
        for _ in range(3)
    ]
    yield clients
    for client in clients:
        await client.close()


async def process(client: Client) -> CommandWaits:
    replicas = BrokerReplicas(client)  # type: ignore[arg-type]  # it publishes and subscribes, as the product's does
    waits = CommandWaits(replicas, 8, 8)
    await replicas.listen(waits)
    await client.flush()
    return waits


async def heard(waits: CommandWaits) -> None:
    """Return once this process knows that somebody waits elsewhere."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not waits._awaited_elsewhere:  # noqa: ASYNC110  # the broker decides
            await asyncio.sleep(0.01)


async def test_a_replica_that_ends_a_command_tells_the_one_at_which_somebody_waits(
    clients: list[Client],
) -> None:
    here, there = [await process(client) for client in clients[:2]]
    told = await clients[2].subscribe(COMMAND_ENDED_SUBJECT)
    await clients[2].flush()
    with here.waiting("user-1") as wait:
        assert wait
        here.follow(wait, "cmd-a1")
        await heard(there)
        there.committed(["cmd-b2", "cmd-a1"])
        assert await wait.until_ended(WAIT_SECONDS)
    assert (await told.next_msg(WAIT_SECONDS)).data == b"cmd-a1"


async def test_what_is_no_command_is_passed_over(clients: list[Client]) -> None:
    here = await process(clients[0])
    for said in (b"", b"cmd-\xff", b"cmd-" + b"a" * 100, b"x"):
        await clients[1].publish(COMMAND_AWAITED_SUBJECT, said)
        await clients[1].publish(COMMAND_ENDED_SUBJECT, said)
    await clients[1].publish(COMMAND_AWAITED_SUBJECT, b"cmd-1")
    await clients[1].flush()
    await heard(here)
    assert list(here._awaited_elsewhere) == ["cmd-1"]
