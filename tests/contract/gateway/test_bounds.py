"""Who may open a connection, and how much one may ask, send and leave unread."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest
import websockets
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.limits import UserRates
from gateway.watches import text_frame
from services.status.domain.rights import EndingCause
from tests.contract.gateway.conftest import SECOND, VIN, GatewayHarness, until
from tests.support.capabilities import Signer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.readers import SocketReader


async def refused(opening: Any) -> tuple[int, dict[str, Any]]:
    with pytest.raises(websockets.InvalidStatus) as caught:
        await opening
    response = caught.value.response
    document: dict[str, Any] = json.loads(response.body)
    assert response.headers["content-type"] == "application/problem+json"
    assert document["status"] == response.status_code
    return response.status_code, document


@pytest.mark.parametrize("workload", ["room/command", "team/fleet", "operator", "room/access"])
async def test_only_the_edge_opens_a_connection(gateway: GatewayHarness, workload: str) -> None:
    status, document = await refused(gateway.open(tls=gateway.tls(workload)))
    assert (status, document["code"]) == (403, "CALLER_NOT_ALLOWED")


async def test_without_a_session_nothing_is_opened(gateway: GatewayHarness, signer: Signer) -> None:
    now = int(time.time())
    forged = Signer(Ed25519PrivateKey.generate(), signer.jwks)
    capability = signer.capability(VIN, "door.updates.read")
    for session in ("x", "a.b.c", capability, _signed(forged, now + 300), _signed(signer, now - 1)):
        status, document = await refused(gateway.open(session))
        assert (status, document["code"]) in {(401, "TOKEN_INVALID"), (401, "TOKEN_EXPIRED")}, session
        assert document["correlationId"] == "c-1"


def _signed(signer: Signer, expires: int) -> str:
    claims = {
        "iss": "ecarus-access",
        "aud": "ecarus-sessions",
        "sub": "u",
        "act": "u",
        "iat": 1,
        "exp": expires,
    }
    return jwt.encode(claims, signer.key, algorithm="EdDSA", headers={"kid": "test"})


class TestOrigins:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"websocket_origins": "https://console.example.com, http://localhost:8080"}

    @pytest.mark.parametrize(
        "origin",
        [
            "https://evil.example.com",
            "https://console.example.com.evil.com",
            "http://console.example.com",
            "https://console.example.com:8443",
            "null",
            "",
        ],
    )
    async def test_a_page_of_another_origin_opens_nothing(self, gateway: GatewayHarness, origin: str) -> None:
        status, document = await refused(gateway.open(headers={"Origin": origin}))
        assert (status, document["code"]) == (403, "CALLER_NOT_ALLOWED")

    @pytest.mark.parametrize("origin", ["https://console.example.com", "http://LOCALHOST:8080"])
    async def test_a_page_of_a_listed_origin_and_who_is_no_browser_do(
        self, gateway: GatewayHarness, origin: str
    ) -> None:
        for headers in ({"Origin": origin}, {}):
            client = await gateway.open(headers=headers)
            (answer,) = await client.subscribe(VIN)
            assert answer["type"] == "SUBSCRIBED"


class TestOriginsOfTheApi:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"cors_origins": "https://app.example.com,http://localhost:*"}

    @pytest.mark.parametrize("origin", ["https://app.example.com", "http://localhost:5173"])
    async def test_a_page_that_may_call_the_api_may_open_a_websocket(
        self, gateway: GatewayHarness, origin: str
    ) -> None:
        client = await gateway.open(headers={"Origin": origin})
        (answer,) = await client.subscribe(VIN)
        assert answer["type"] == "SUBSCRIBED"

    @pytest.mark.parametrize("origin", ["https://evil.example.com", "http://127.0.0.1:5173", "null"])
    async def test_another_may_not(self, gateway: GatewayHarness, origin: str) -> None:
        status, document = await refused(gateway.open(headers={"Origin": origin}))
        assert (status, document["code"]) == (403, "CALLER_NOT_ALLOWED")


class TestCounts:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {
            "websocket_connections_per_user": 2,
            "websocket_connections_per_address": 3,
            "websocket_subscriptions": 3,
            "websocket_subscriptions_per_user": 4,
            "websocket_subscriptions_per_address": 5,
        }

    async def test_connections_are_counted_by_user_and_by_address(self, gateway: GatewayHarness) -> None:
        first = await gateway.open()
        await gateway.open()
        status, document = await refused(gateway.open())
        assert (status, document["code"]) == (429, "RATE_LIMITED")
        await gateway.open(gateway.session("user-2"))
        status, document = await refused(gateway.open(gateway.session("user-3")))
        assert (status, document["code"]) == (429, "RATE_LIMITED")
        await gateway.open(gateway.session("user-3", net="192.0.2.9"))
        await first.connection.close()
        await until(lambda: gateway.server._connections.by_user["user-123"] == 1)
        await gateway.open()

    async def test_subscriptions_are_counted_by_connection_user_and_address(
        self, gateway: GatewayHarness
    ) -> None:
        vins = [f"KMHSH81C7LU00000{n}" for n in range(6)]
        client = await gateway.open()
        answers = await client.subscribe(*vins[:4])
        assert sorted(each["type"] for each in answers) == ["REFUSED", *["SUBSCRIBED"] * 3]
        (late,) = [each for each in answers if each["type"] == "REFUSED"]
        assert late["code"] == "RATE_LIMITED"
        second = await gateway.open()
        answers = await second.subscribe(*vins[:2])
        assert sorted(each["type"] for each in answers) == ["REFUSED", "SUBSCRIBED"]
        third = await gateway.open(gateway.session("user-2"))
        answers = await third.subscribe(*vins[:2])
        assert sorted(each["type"] for each in answers) == ["REFUSED", "SUBSCRIBED"]
        await client.send(action="unsubscribe", vins=[vins[0]])
        assert (await client.next())["type"] == "UNSUBSCRIBED"
        (answer,) = await client.subscribe(vins[5])
        assert answer["type"] == "SUBSCRIBED"
        for each in (client, second, third):
            await each.connection.close()
        await until(lambda: gateway.server._subscriptions.total == 0)
        assert not gateway.server._subscriptions.by_user
        assert not gateway.server._subscriptions.by_address
        await until(lambda: gateway.server._connections.total == 0)

    async def test_what_is_refused_is_not_counted(self, gateway: GatewayHarness) -> None:
        client = await gateway.open()
        for _ in range(5):
            (answer,) = await client.subscribe("KMHSH81C7LU654321")
            assert answer["code"] == "VEHICLE_NOT_FOUND"
        gateway.access.away = True
        for _ in range(5):
            (answer,) = await client.subscribe(VIN)
            assert answer["code"] == "DEPENDENCY_UNAVAILABLE"
        assert gateway.server._subscriptions.total == 0


class TestVehicleRates:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"websocket_vehicles_per_minute": 3}

    async def test_vehicles_are_counted_and_not_messages_over_all_of_a_user_s_connections(
        self, gateway: GatewayHarness
    ) -> None:
        first, second = await gateway.open(), await gateway.open()
        answers = await first.subscribe(VIN, SECOND)
        assert [each["type"] for each in answers] == ["SUBSCRIBED"] * 2
        answers = await second.subscribe(VIN, SECOND)
        (late,) = [each for each in answers if each["type"] == "REFUSED"]
        assert (late["vin"], late["code"], late["retryAfterSeconds"]) == (SECOND, "RATE_LIMITED", 10)
        other = await gateway.open(gateway.session("user-2"))
        (answer,) = await other.subscribe(SECOND)
        assert answer["type"] == "SUBSCRIBED"
        assert gateway.access.asked == [[VIN, SECOND], [VIN], [SECOND]]


def test_only_so_many_users_rates_are_kept() -> None:
    rates = UserRates(1, most=2)
    assert [rates.take(user, 0.0) for user in ("a", "b", "a")] == [True, True, False]
    assert [rates.take(user, 0.0) for user in ("c", "a", "b")] == [True, False, True]


class TestRates:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"websocket_messages_per_minute": 5, "websocket_frames_per_minute": 20}

    async def test_too_many_messages_close_the_connection(self, gateway: GatewayHarness) -> None:
        client = await gateway.open()
        for _ in range(6):
            await client.connection.send("{}")
        assert await client.closed() == (4429, "too many messages")

    @pytest.mark.parametrize("kind", ["ping", "pong"])
    async def test_too_many_pings_and_pongs_do_too(self, gateway: GatewayHarness, kind: str) -> None:
        client = await gateway.open()
        for n in range(40):
            try:
                await getattr(client.connection, kind)(str(n))
            except websockets.ConnectionClosed:
                break
        assert await client.closed() == (4429, "too many frames")

    async def test_a_message_in_many_parts_is_many_frames(self, gateway: GatewayHarness) -> None:
        client = await gateway.open()
        with contextlib.suppress(websockets.ConnectionClosed):
            await client.connection.send(["x"] * 60)
        assert (await client.closed())[0] == 4429


class TestIdleness:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"websocket_idle_seconds": 0.5, "websocket_ping_seconds": 0.2, "websocket_pong_seconds": 0.5}

    async def test_a_connection_without_a_subscription_is_closed(self, gateway: GatewayHarness) -> None:
        client = await gateway.open()
        assert await client.closed() == (4408, "no subscription")

    async def test_one_with_a_subscription_stays_and_is_pinged(self, gateway: GatewayHarness) -> None:
        client = await gateway.open()
        await client.subscribe(VIN)
        connection = next(iter(gateway.server._readers))._connection
        await until(lambda: connection.latency > 0)
        await asyncio.sleep(1)
        gateway.move()
        assert (await client.next())["vin"] == VIN
        await client.send(action="unsubscribe", vins=[VIN])
        assert await client.closed() == (4408, "no subscription")


class TestSlowReaders:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"websocket_waiting_bytes": 65_536, "websocket_behind_seconds": 300}

    async def test_who_does_not_read_is_closed_and_the_others_go_on(self, gateway: GatewayHarness) -> None:
        slow = await gateway.open(gateway.session("user-2"), max_queue=1)
        await slow.subscribe(SECOND)
        quick = await gateway.open()
        await quick.subscribe(SECOND)
        slow.connection.transport.pause_reading()
        reader = next(one for one in gateway.server._readers if one._session.subject == "user-2")
        told = 0
        async with asyncio.timeout(60):
            while reader._closing is None:
                gateway.move(SECOND)
                await quick.next()
                told += 1
        slow.connection.transport.resume_reading()
        assert (await slow.closed())[0] == 1013
        gateway.move(SECOND)
        assert (await quick.next())["vin"] == SECOND
        assert told > 100


@contextlib.asynccontextmanager
async def unread(gateway: GatewayHarness) -> AsyncIterator[SocketReader]:
    """Open a connection whose client reads no more; its reader is told of once the gateway cannot write."""
    client = await gateway.open(max_queue=1, ping_interval=None)
    try:
        await client.subscribe(VIN)
        client.connection.transport.pause_reading()
        (reader,) = gateway.server._readers
        async with asyncio.timeout(60):
            while not reader._connection.paused:
                reader.tell(text_frame(b"x" * 50_000))
                await asyncio.sleep(0)
        yield reader
    finally:
        client.connection.transport.abort()
        await client.connection.wait_closed()


async def nothing_open(gateway: GatewayHarness) -> None:
    """Wait until no connection is counted: well before the first ping, which would find out as well."""
    async with asyncio.timeout(40):
        await until(lambda: gateway.server._connections.total == 0)
    assert not gateway.server._readers
    assert len(gateway.feed) == 0


class TestUnreadConnections:
    @pytest.fixture(params=[300])
    def settings(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        return {
            "websocket_waiting_bytes": 16_777_216,
            "websocket_behind_seconds": request.param,
            "websocket_ping_seconds": 50,
            "websocket_pong_seconds": 120,
        }

    async def test_who_reads_nothing_is_closed_all_the_same_and_leaves_its_place(
        self, gateway: GatewayHarness
    ) -> None:
        async with unread(gateway):
            gateway.end_right(EndingCause.ACCOUNT)
            await nothing_open(gateway)
            (answer,) = await (await gateway.open()).subscribe(SECOND)
            assert answer["type"] == "SUBSCRIBED"

    async def test_an_edge_whose_certificate_is_revoked_is_cut_off_too(self, gateway: GatewayHarness) -> None:
        async with unread(gateway) as reader:
            gateway.server._revoke(frozenset({gateway.server._readers[reader].certificate}))
            await nothing_open(gateway)

    @pytest.mark.parametrize("settings", [1], indirect=True)
    async def test_who_is_behind_too_long_is_closed_though_nothing_more_is_told(
        self, gateway: GatewayHarness
    ) -> None:
        async with unread(gateway):
            await nothing_open(gateway)


async def test_a_connection_that_is_lost_leaves_nothing(gateway: GatewayHarness) -> None:
    client = await gateway.open()
    await client.subscribe(VIN, SECOND)
    client.connection.transport.abort()
    await until(lambda: gateway.hub.watcher_count == 0)
    await until(lambda: gateway.server._connections.total == 0)
    assert len(gateway.feed) == 0


async def test_a_gateway_that_ends_sends_its_clients_elsewhere(gateway: GatewayHarness) -> None:
    client = await gateway.open()
    await client.subscribe(VIN)
    await gateway.server.stop()
    assert await client.closed() == (1001, "resume with your last id")


async def test_health_is_told_to_the_edge(gateway: GatewayHarness) -> None:
    async with httpx.AsyncClient(verify=gateway.tls(), trust_env=False, timeout=60) as http:
        url = f"https://127.0.0.1:{gateway.port}/healthz"
        gateway.health.look()
        assert (await http.get(url)).status_code == 200
        gateway.health.condition("something").bad("gone")
        gateway.health.look()
        assert (await http.get(url)).status_code == 503
