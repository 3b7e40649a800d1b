"""Asking for signatures, from a signer on loopback that holds to its contract."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as contract
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2_grpc as stubs
from ecarus.remotecontrol.vehicle.v1 import command_pb2

from services.platform.validation import violations_of
from services.telematics.order_signer import OrderSigningClient, SigningError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

VIN = "KMHSH81C7LU123456"


class FakeSigner(stubs.OrderSigningServiceServicer):
    """Its envelopes are the counters and challenges it was asked with. `lose_answers` forgets the last of each."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.lose_answers = False
        self.away = False

    async def SignOrders(  # noqa: N802  # the contract's name
        self, request: contract.SignOrdersRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> contract.SignOrdersResponse:
        self.asked.append(len(request.orders))
        if self.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the access service is away")
        if violations_of(request, None):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not valid")
        answers = [
            contract.SigningAnswer(
                verdict=contract.SIGNING_VERDICT_SIGNED, envelope=str(order.counter).encode()
            )
            for order in request.orders
        ]
        return contract.SignOrdersResponse(answers=answers[1:] if self.lose_answers else answers)

    async def SignSessionRequests(  # noqa: N802  # the contract's name
        self, request: contract.SignSessionRequestsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> contract.SignSessionRequestsResponse:
        if self.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "stopping")
        envelopes = [each.challenge for each in request.challenges]
        return contract.SignSessionRequestsResponse(
            envelopes=envelopes[1:] if self.lose_answers else envelopes
        )


@pytest.fixture
def fake() -> FakeSigner:
    return FakeSigner()


@pytest.fixture
async def signer(fake: FakeSigner) -> AsyncIterator[OrderSigningClient]:
    server = grpc.aio.server()
    stubs.add_OrderSigningServiceServicer_to_server(fake, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield OrderSigningClient(channel)
    await server.stop(None)


def order(counter: int, capability: str = "token") -> contract.OrderToSign:
    requested = contract.RequestedOrder(
        vin=VIN, capability=capability, config=command_pb2.ApplyConfig(version=1)
    )
    requested.asked_at.FromDatetime(datetime(2026, 1, 12, tzinfo=UTC))
    return contract.OrderToSign(requested=requested, epoch=bytes(16), counter=counter, expires_at_millis=1)


async def test_each_order_gets_its_answer_in_one_question(
    signer: OrderSigningClient, fake: FakeSigner
) -> None:
    answers = await signer.sign([order(1), order(2)])

    assert answers is not None
    assert [answer.envelope for answer in answers] == [b"1", b"2"]
    assert fake.asked == [2]


async def test_session_requests_come_back_in_order(signer: OrderSigningClient) -> None:
    assert await signer.sign_session_requests([(VIN, b"a" * 16), (VIN, b"b" * 16)]) == [b"a" * 16, b"b" * 16]


@pytest.mark.parametrize("trouble", ["away", "lose_answers"])
async def test_a_signer_that_cannot_answer_signs_nothing(
    signer: OrderSigningClient, fake: FakeSigner, trouble: str
) -> None:
    setattr(fake, trouble, True)

    assert await signer.sign([order(1), order(2)]) is None
    assert await signer.sign_session_requests([(VIN, bytes(16))]) is None


async def test_a_signer_that_is_not_there_signs_nothing() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{nobody.getsockname()[1]}") as channel:
            signer = OrderSigningClient(channel)

            assert await signer.sign([order(1)]) is None
            assert await signer.sign_session_requests([(VIN, bytes(16))]) is None


async def test_what_is_wrong_with_a_request_is_not_taken_for_a_signer_that_is_away(
    signer: OrderSigningClient,
) -> None:
    with pytest.raises(SigningError):
        await signer.sign([order(1)] * 257)
