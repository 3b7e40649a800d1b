"""What is taken for a broker's silence, and what is not."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from services.platform.broker_pulse import BrokerPulse

if TYPE_CHECKING:
    from collections.abc import Callable

SILENCE_SECONDS = 0.4
BEAT_SECONDS = 0.01


class FakeClient:
    """Answers pings, while it `answers`, from the event loop."""

    def __init__(self) -> None:
        self.is_connected = True
        self.answers = True
        self.stats = {"in_msgs": 0}
        self.pings = 0

    async def _send_ping(self, answered: asyncio.Future[bool]) -> None:
        self.pings += 1
        if self.answers:
            asyncio.get_running_loop().call_soon(answered.set_result, True)  # a future's signature


class Heard:
    """Runs the pulse and keeps what it told of."""

    def __init__(self, client: FakeClient) -> None:
        self.client = client
        self.silences: list[float] = []
        self.first = asyncio.Event()
        pulse = BrokerPulse(client, SILENCE_SECONDS, BEAT_SECONDS)  # type: ignore[arg-type]  # the fake
        self.running = asyncio.create_task(pulse.run(self._silent))

    async def _silent(self, since: float) -> None:
        self.silences.append(since)
        self.first.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110  # counted by the pulse
                await asyncio.sleep(0.005)

    async def end(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)


async def test_who_answers_is_not_silent_and_who_does_not_is_since_it_was_asked() -> None:
    heard = Heard(client := FakeClient())
    await heard.until(lambda: client.pings >= 5)
    assert not heard.silences
    client.answers = False
    asked = client.pings
    async with asyncio.timeout(20):
        await heard.first.wait()
    assert client.pings > asked
    assert time.monotonic() - heard.silences[0] >= SILENCE_SECONDS * 0.9
    await heard.end()


async def test_who_sends_messages_while_a_ping_waits_is_not_silent() -> None:
    heard = Heard(client := FakeClient())
    client.answers = False
    asked = client.pings
    while client.pings < asked + 3:  # as often as nothing was taken for silence
        client.stats["in_msgs"] += 1
        await asyncio.sleep(0.001)
    assert not heard.silences
    await heard.end()


async def test_a_loop_that_stood_still_is_not_the_brokers_silence() -> None:
    heard = Heard(client := FakeClient())
    for _ in range(3):
        pings = client.pings
        await heard.until(lambda pings=pings: client.pings > pings)  # type: ignore[misc]  # of this round
        time.sleep(2 * SILENCE_SECONDS)  # noqa: ASYNC251  # a machine that does not let it run
    await heard.until(lambda: client.pings >= 10)
    assert not heard.silences
    await heard.end()


async def test_nobody_is_pinged_where_there_is_no_connection() -> None:
    heard = Heard(client := FakeClient())
    client.is_connected = client.answers = False
    pings = client.pings
    await asyncio.sleep(5 * BEAT_SECONDS)
    assert client.pings == pings
    assert not heard.silences
    await heard.end()
