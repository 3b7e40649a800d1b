"""Work that is looked for again and again."""

from __future__ import annotations

import asyncio

from services.notification.adapters.rounds import JobRounds
from services.platform.storage import StorageUnavailableError


async def test_it_goes_on_while_there_is_more_and_when_somebody_is_in_a_hurry() -> None:
    done: asyncio.Queue[int] = asyncio.Queue()
    rounds = 0

    async def step() -> bool:
        nonlocal rounds
        rounds += 1
        done.put_nowait(rounds)
        return rounds < 3

    jobs = JobRounds("job", step, idle_seconds=3_600)
    task = asyncio.create_task(jobs.run())
    async with asyncio.timeout(60):
        assert [await done.get() for _ in range(3)] == [1, 2, 3]
        await asyncio.sleep(0)
        assert done.empty()
        jobs.hurry()
        assert await done.get() == 4
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_store_that_is_away_is_waited_for() -> None:
    done = asyncio.Event()
    tried = 0

    async def step() -> bool:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise StorageUnavailableError("away")
        done.set()
        return False

    task = asyncio.create_task(JobRounds("job", step, idle_seconds=0.01).run())
    async with asyncio.timeout(60):
        await done.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert tried >= 2
