"""A vehicle is asked for a check at once, however long its wake-up takes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
from ecarus.remotecontrol.access.v1.vehicle_check_service_pb2 import RequestSelfTestRequest

from services.command.adapters.check_server import VehicleCheckServicer
from services.command.adapters.wake_ups import VehicleWaker

if TYPE_CHECKING:
    from services.command.adapters.session_requests import SessionRequests

VIN = "KMHSH81C7LU123456"


class Requests:
    """Session requests that leave, or do not."""

    def __init__(self, *, sent: bool) -> None:
        self.sent = sent

    async def ask_self_check(self, _vin: str) -> bool:
        return self.sent


class HangingGateway:
    """A gateway that answers when the test lets it."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.has_begun = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.answered = asyncio.Event()

    async def send_wake_up(self, vin: str) -> None:
        self.begun.append(vin)
        self.has_begun.set()
        await self.may_answer.wait()
        self.answered.set()

    async def close(self) -> None:
        """Nothing to let go of."""


async def in_budget(_: str) -> bool:
    return True


async def no_session(_: str) -> None:
    raise AssertionError("nobody asks for a session")


@pytest.mark.parametrize(("sent", "asleep"), [(True, True), (True, False), (False, True)])
async def test_the_answer_does_not_wait_for_the_gateway(*, sent: bool, asleep: bool) -> None:
    gateway = HangingGateway()
    waker = VehicleWaker(in_budget, gateway, no_session, lambda _: asleep, in_budget)
    servicer = VehicleCheckServicer(cast("SessionRequests", Requests(sent=sent)), waker)
    request = RequestSelfTestRequest(vin=VIN)
    answer = await asyncio.wait_for(servicer.RequestSelfTest(request, cast("Any", None)), 60)
    assert (answer.sent, answer.woken) == (sent, sent and asleep)
    if sent and asleep:
        await asyncio.wait_for(gateway.has_begun.wait(), 60)
        gateway.may_answer.set()
        await asyncio.wait_for(gateway.answered.wait(), 60)
    assert gateway.begun == ([VIN] if sent and asleep else [])
