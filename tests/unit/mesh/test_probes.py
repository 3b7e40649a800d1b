"""What is asked of a component that starts, some thirty times a second: a port that refuses costs next to nothing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from mesh import probes
from mesh.pki import CertificateIdentity, Pki
from mesh.probes import grpc_serving, http_ok, https_ok
from tests.support.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path / "pki", datetime.now(UTC))


async def test_where_nobody_listens_no_client_is_made(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_client(*_args: object, **_options: object) -> None:
        raise AssertionError("a client was made")

    edge = pki.ensure(CertificateIdentity("edge", server=False))
    asked = [
        grpc_serving(free_port(), pki.ca, edge),
        http_ok(free_port(), "/healthz"),
        https_ok(free_port(), "/healthz", pki.ca, edge),
    ]
    monkeypatch.setattr(probes.grpc.aio, "secure_channel", no_client)
    monkeypatch.setattr(probes.httpx, "AsyncClient", no_client)
    assert [await probe() for probe in asked] == [False, False, False]


@pytest.mark.parametrize(("said", "ready"), [("200 OK", True), ("503 Service Unavailable", False)])
async def test_who_listens_is_asked(said: str, ready: bool) -> None:  # of the parametrization
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readline():
            writer.write(f"HTTP/1.1 {said}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await http_ok(port, "/healthz")() is ready


async def test_who_listens_and_speaks_no_grpc_does_not_serve(pki: Pki) -> None:
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        edge = pki.ensure(CertificateIdentity("edge", server=False))
        assert not await grpc_serving(port, pki.ca, edge)()
