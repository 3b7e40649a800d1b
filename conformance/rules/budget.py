"""What is not worth an answer each time: refusals, repetitions and session requests in floods."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from conformance.finding import Group, require
from conformance.forge import Mutation
from conformance.orders import lock, unlock
from protocol.domains import Domain
from protocol.subjects import EventKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from conformance.unit import Unit

GROUP = Group("budget")
_BURST = 20
_OF_EACH = 10
_FAR_FEWER = 10

Flood = tuple["Callable[[], Awaitable[None]]", "Callable[[], int]"]
"""What sends one more, and what counts the answers so far."""


async def _bounded(unit: Unit, times: int, *floods: Flood) -> None:
    await unit.afford()
    before = sum(answered() for _, answered in floods)
    began = asyncio.get_running_loop().time()
    for _ in range(times):
        for send, _answered in floods:
            await send()
    await unit.fence()
    earned = (asyncio.get_running_loop().time() - began) / unit.patience.pace
    said = sum(answered() for _, answered in floods) - before
    sent = times * len(floods)
    require(said <= _FAR_FEWER + earned, f"{said} of {sent} were answered at once")
    await unit.afford(2)


def _refused_orders(unit: Unit) -> Flood:
    sent: list[bytes] = []

    async def send() -> None:
        sent.append((await unit.order(unlock(), Mutation(epoch=bytes(16)))).request_hash)

    return send, lambda: len(unit.cloud.answers(*sent))


async def _known_orders(unit: Unit, count: int) -> Flood:
    """Each another one: a unit may answer the same one once for all that came while it did."""
    known = []
    for _ in range(count):
        known.append(await unit.order(lock()))
        await unit.succeeds(known[-1])
    hashes = [signed.request_hash for signed in known]

    async def send() -> None:
        await unit.send(known.pop())

    return send, lambda: len(unit.cloud.answers(*hashes))


def _session_requests(unit: Unit) -> Flood:
    async def send() -> None:
        await unit.send_bytes(Domain.CHALLENGE, unit.cloud.challenge()[1])

    return send, lambda: unit.cloud.said.count(EventKind.HELLO)


@GROUP.rule
async def repetitions_have_a_budget(unit: Unit) -> None:
    """Have a budget for repeated answers: old orders can be replayed."""
    await _bounded(unit, _BURST, await _known_orders(unit, _BURST))


@GROUP.rule
async def session_requests_have_a_budget(unit: Unit) -> None:
    """Have a budget for answers to session requests: old requests can be replayed."""
    await _bounded(unit, _BURST, _session_requests(unit))
    await unit.asked()


@GROUP.rule
async def budget_is_one(unit: Unit) -> None:
    """Have a budget for faults, repeated answers and answers to session requests together."""
    await _bounded(
        unit, _OF_EACH, _refused_orders(unit), await _known_orders(unit, _OF_EACH), _session_requests(unit)
    )
    await unit.asked()
