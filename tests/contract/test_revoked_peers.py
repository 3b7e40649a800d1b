"""A service as a client: a replica that shows a revoked certificate is not asked any more, over real mTLS."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio

from mesh.pki import CertificateIdentity, Pair, Pki
from services.platform.channel import open_channel
from services.platform.settings import ServerSettings
from services.registry import descriptor_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

METHOD = "/test.Echo/WhoAreYou"
CHECK_SECONDS = 0.2
WAIT_SECONDS = 15


@pytest.fixture
def authority(tmp_path: Path) -> Pki:
    pki = Pki(tmp_path / "authority", datetime.now(UTC))
    pki.ensure_revocations()
    return pki


def pair_of(authority: Pki, name: str) -> Pair:
    dns = ("signer.rooms.ecarus.internal",)
    return authority.ensure(CertificateIdentity(name, uri="spiffe://ecarus/room/signer", dns=dns))


@asynccontextmanager
async def replica(authority: Pki, name: str, pair: Pair | None = None) -> AsyncIterator[str]:
    """A signer that says which one it is; its address."""
    pair = pair or pair_of(authority, name)
    server = grpc.aio.server()

    async def who(_request: bytes, _context: Any) -> bytes:
        return name.encode()

    handler = grpc.unary_unary_rpc_method_handler(who)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("test.Echo", {"WhoAreYou": handler}),)
    )
    health = health_aio.HealthServicer()
    await health.set(descriptor_of("signer").contract, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    credentials = grpc.ssl_server_credentials(
        [(pair.key.read_bytes(), pair.cert.read_bytes())], authority.ca.read_bytes(), require_client_auth=True
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


def settings_of(authority: Pki, *, lists: bool = True) -> ServerSettings:
    pair = pair_of(authority, "client")
    return ServerSettings.model_construct(
        tls_ca=authority.ca,
        tls_cert=pair.cert,
        tls_key=pair.key,
        revoked_workloads=authority.revocations if lists else None,
        revocation_check_seconds=CHECK_SECONDS,
    )


async def asked(channel: grpc.aio.Channel, times: int = 20) -> set[str]:
    """Who answers."""
    method = channel.unary_unary(METHOD)
    return {(await method(b"", timeout=30, wait_for_ready=True)).decode() for _ in range(times)}


async def until_asked(channel: grpc.aio.Channel, names: set[str]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while await asked(channel) != names:  # noqa: ASYNC110  # connections come when they come
            await asyncio.sleep(0.05)


async def test_a_replica_with_a_revoked_certificate_is_left_out_and_the_others_go_on(authority: Pki) -> None:
    async with AsyncExitStack() as stack:
        good, stolen = [
            await stack.enter_async_context(replica(authority, name)) for name in ("good", "stolen")
        ]
        channel = open_channel(settings_of(authority), f"{good},{stolen}", "signer")
        await stack.enter_async_context(channel)
        method = channel.unary_unary(METHOD)  # as a stub has it, from before the revocation
        await until_asked(channel, {"good", "stolen"})
        authority.revoke(pair_of(authority, "stolen").cert)
        began = time.monotonic()
        await until_asked(channel, {"good"})
        assert time.monotonic() - began < WAIT_SECONDS
        for _ in range(50):
            assert await method(b"", timeout=30) == b"good"


async def test_whoever_comes_to_an_address_later_with_a_revoked_certificate_is_left_out(
    authority: Pki,
) -> None:
    pair = pair_of(authority, "stolen")
    authority.revoke(pair.cert)
    async with AsyncExitStack() as stack:
        stolen = await stack.enter_async_context(replica(authority, "stolen", pair))
        channel: Any = open_channel(settings_of(authority), stolen, "signer")
        await stack.enter_async_context(channel)
        await channel.look()
        method = channel.unary_unary(METHOD)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await method(b"", timeout=30)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_while_nothing_is_revoked_nobody_is_asked_for_a_certificate(
    authority: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_args: Any, **_named: Any) -> Any:
        raise AssertionError("asked")

    async with AsyncExitStack() as stack:
        good = await stack.enter_async_context(replica(authority, "good"))
        for lists in (True, False):
            channel: Any = open_channel(settings_of(authority, lists=lists), good, "signer")
            await stack.enter_async_context(channel)
            monkeypatch.setattr(asyncio, "open_connection", never)
            await channel.look()
            assert await asked(channel, 1) == {"good"}
