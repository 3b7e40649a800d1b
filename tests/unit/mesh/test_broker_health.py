"""Whatever answers on the broker's port, the probe says yes or no, and soon."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from mesh.broker_health import SystemAccount, broker_healthy
from mesh.pki import CertificateIdentity, Pki

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def account(tmp_path: Path) -> SystemAccount:
    password = tmp_path / "password"
    password.write_text("secret")
    pair = Pki(tmp_path / "pki", datetime.now(UTC)).ensure(
        CertificateIdentity("enrolment", uri="spiffe://ecarus/room/enrolment")
    )
    return SystemAccount("enrolment-system", password, pair)


async def test_nobody_there_is_not_healthy(
    account: SystemAccount, tmp_path: Path, unused_tcp_port: int
) -> None:
    assert not await broker_healthy(unused_tcp_port, tmp_path / "pki" / "ca.crt", account)()


@pytest.mark.parametrize(
    "says", [b"", b"HTTP/1.1 200 OK\r\n\r\n", b'INFO {}\r\n{"data": {"status": "ok"}}\r\n']
)
async def test_who_does_not_show_a_certificate_is_told_nothing(
    account: SystemAccount, tmp_path: Path, says: bytes
) -> None:
    received, hung_up = bytearray(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        with contextlib.suppress(ConnectionError):
            while some := await reader.read(4_096):
                received.extend(some)
        writer.close()
        hung_up.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        async with asyncio.timeout(30):
            assert not await broker_healthy(port, tmp_path / "pki" / "ca.crt", account)()
            await hung_up.wait()
        assert b"secret" not in received
