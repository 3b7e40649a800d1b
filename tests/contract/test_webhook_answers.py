"""What an answer of a receiver says, whatever its body does: over real connections, to a server told its bytes."""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from services.notification.adapters.senders.names import NameResolver
from services.notification.adapters.senders.peer import PushPeer
from services.notification.adapters.senders.public_network import PublicNetwork
from services.notification.adapters.webhooks.caller import HttpWebhookCaller
from services.notification.adapters.webhooks.secrets import SecretBox
from services.notification.adapters.webhooks.urls import PrivateAddresses, UrlRules
from services.notification.domain.webhooks import CallOutcome, WebhookWish
from services.notification.usecases.webhook_ports import WebhookCall
from tests.support.clocks import FakeClock
from tests.support.webhook_harness import ME, webhook_harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from services.notification.domain.webhooks import CallResult

_BOX = SecretBox(b"k" * 32)
_ENOUGH_SECONDS = 60
OPEN_LENGTH = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfirst"
OPEN_CHUNKED = b"HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n"
UNTIL_CLOSED = b"HTTP/1.1 200 OK\r\n\r\nfirst"
CLOSED_EARLY = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\nconnection: close\r\n\r\nfirst"
NONSENSE_AFTER = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nno chunk\r\n"
SMALL = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class RawReceiver:
    """Answers each request with the bytes of `says`, and leaves the connection open unless they say `close`."""

    port: int = 0
    says: bytes = SMALL
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    int(line.partition(b":")[2])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length:")
                )
                self.requests.append(await reader.readexactly(length))
                says = self.says
                if b"challenge" in self.requests[-1] and says is SMALL:
                    answer = json.dumps({"challenge": json.loads(self.requests[-1])["data"]["challenge"]})
                    says = f"HTTP/1.1 200 OK\r\ncontent-length: {len(answer)}\r\n\r\n{answer}".encode()
                writer.write(says)
                await writer.drain()
                if b"close" in says:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # the other side is done with it
        finally:
            writer.close()


@asynccontextmanager
async def raw_receiver() -> AsyncIterator[RawReceiver]:
    receiver = RawReceiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()


@pytest.fixture
async def receiver() -> AsyncIterator[RawReceiver]:
    async with raw_receiver() as made:
        yield made


def caller_within(seconds: float) -> HttpWebhookCaller:
    rules, resolver = UrlRules(PrivateAddresses.LOOPBACK), NameResolver()
    network = PublicNetwork(rules.allows, resolver)
    peer = PushPeer(ssl.create_default_context(), seconds=seconds, concurrency=4, network=network)
    return HttpWebhookCaller(peer, rules, _BOX, FakeClock(), resolver)


@pytest.fixture
async def caller() -> AsyncIterator[HttpWebhookCaller]:
    made = caller_within(_ENOUGH_SECONDS)
    yield made
    await made.close()


async def called(
    caller: HttpWebhookCaller, receiver: RawReceiver, *, is_answered: bool = False
) -> CallResult:
    sealed = _BOX.new("webhook")[1]
    call = WebhookCall("webhook", receiver.url, "message", "{}", (sealed,), is_answered=is_answered)
    async with asyncio.timeout(_ENOUGH_SECONDS / 2):  # or the body was waited for
        return await caller.call(call)


@pytest.mark.parametrize(
    "says",
    [OPEN_LENGTH, OPEN_CHUNKED, UNTIL_CLOSED, CLOSED_EARLY, NONSENSE_AFTER],
    ids=["length", "chunked", "until-closed", "closed-early", "nonsense"],
)
async def test_a_2xx_is_delivered_whatever_becomes_of_its_body(
    caller: HttpWebhookCaller, receiver: RawReceiver, says: bytes
) -> None:
    receiver.says = says
    result = await called(caller, receiver)
    assert (result.outcome, result.body, result.timed_out) == (CallOutcome.TAKEN, b"", False)
    receiver.says = SMALL  # what comes late of the body before is not the answer to this
    assert (await called(caller, receiver)).outcome is CallOutcome.TAKEN
    assert receiver.connections == 2


async def test_a_refusal_and_its_wish_count_with_their_headers(
    caller: HttpWebhookCaller, receiver: RawReceiver
) -> None:
    receiver.says = b"HTTP/1.1 503 Later\r\nretry-after: 30\r\ncontent-length: 9\r\n\r\n"
    result = await called(caller, receiver)
    assert (result.outcome, result.failure, result.retry_after) == (CallOutcome.FAILED, "STATUS_503", 30.0)
    receiver.says = b"HTTP/1.1 410 Gone\r\ncontent-length: 9\r\n\r\n"
    assert (await called(caller, receiver)).outcome is CallOutcome.GONE


async def test_a_connection_is_used_again_where_the_body_ends(
    caller: HttpWebhookCaller, receiver: RawReceiver
) -> None:
    for says in (SMALL, b"HTTP/1.1 204 No Content\r\n\r\n", SMALL):
        receiver.says = says
        assert (await called(caller, receiver)).outcome is CallOutcome.TAKEN
    assert (len(receiver.requests), receiver.connections) == (3, 1)


async def test_headers_that_do_not_come_are_no_answer(receiver: RawReceiver) -> None:
    receiver.says = b"HTTP/1.1 200 OK\r\ncontent-le"
    caller = caller_within(0.5)
    result = await called(caller, receiver)
    await caller.close()
    assert (result.outcome, result.failure, result.timed_out) == (CallOutcome.FAILED, "TIMEOUT", True)


async def test_the_answer_to_a_challenge_is_read_to_its_end(receiver: RawReceiver) -> None:
    receiver.says = OPEN_LENGTH
    caller = caller_within(0.5)
    result = await called(caller, receiver, is_answered=True)
    assert (result.outcome, result.timed_out) == (CallOutcome.FAILED, True)
    receiver.says = SMALL
    assert (await called(caller, receiver, is_answered=True)).body == b"ok"
    await caller.close()


async def test_what_was_answered_with_an_open_body_is_not_sent_again(
    caller: HttpWebhookCaller, receiver: RawReceiver, tmp_path: Path
) -> None:
    async with webhook_harness(f"sqlite:///{tmp_path}/notification.sqlite3", caller=caller) as house:
        await house.api.register(ME, "mine", WebhookWish(receiver.url), "c-1")
        async with asyncio.timeout(_ENOUGH_SECONDS):
            while (await house.api.found(ME, "mine"))[0].state.value != "ACTIVE":
                await house.later(minutes=2)
        receiver.says = OPEN_LENGTH
        receiver.requests.clear()
        await house.tell(house.door())
        async with asyncio.timeout(_ENOUGH_SECONDS):
            while (await house.statuses()) != ["DELIVERED"]:
                await house.later(minutes=2)
        sent = len(receiver.requests)
        await house.later(hours=26)
        assert len(receiver.requests) == sent
