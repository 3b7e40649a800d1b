"""Publishing to JetStream at the price of writing prepared bytes, with every message confirmed.

A client library spends more on one publish than the broker does, and here it would take that from the
cores being measured. So this speaks the little of the NATS protocol that publishing needs.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.http_client import LOOPBACK, BenchFailedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_INBOX = b"_INBOX.bench.acks"
_READ_BYTES = 256 * 1024
MOST_UNCONFIRMED = 500
"""Over all streams together; the broker refuses what goes beyond 1,024 waiting in one stream."""
_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class BrokerAccount:
    """How a load process reaches the broker."""

    port: int
    ca: Path
    user: str
    password: str


def message(subject: str, message_id: str, payload: bytes) -> bytes:
    """Return the bytes of one publish that is deduplicated by its id and confirmed to `Publisher`."""
    headers = f"NATS/1.0\r\nNats-Msg-Id: {message_id}\r\n\r\n".encode()
    sizes = f"{len(headers)} {len(headers) + len(payload)}".encode()
    return b"HPUB %b %b %b\r\n%b%b\r\n" % (subject.encode(), _INBOX, sizes, headers, payload)


class Publisher:
    """One connection that publishes and counts confirmations."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._held = b""
        self._unconfirmed = 0

    @classmethod
    async def connect(cls, account: BrokerAccount) -> Publisher:
        """Log in over TLS. Raises OSError, or BenchFailedError when the broker refuses."""
        reader, writer = await asyncio.open_connection(LOOPBACK, account.port)
        await reader.readline()  # INFO; what it offers is what the mesh configured
        trusted = ssl.create_default_context(cafile=str(account.ca))
        await writer.start_tls(trusted, server_hostname="localhost")
        login = {
            "verbose": False,
            "tls_required": True,
            "headers": True,
            "user": account.user,
            "pass": account.password,
        }
        writer.write(b"CONNECT %b\r\nPING\r\n" % json.dumps(login).encode())
        reply = await reader.readline()
        if reply.strip() != b"PONG":
            raise BenchFailedError(f"the broker refused the login: {reply!r}")
        writer.write(b"SUB %b 1\r\n" % _INBOX)
        return cls(reader, writer)

    async def publish(self, messages: Sequence[bytes]) -> None:
        """Send these, of which MOST_UNCONFIRMED are not confirmed at any time. Raises BenchFailedError."""
        for start in range(0, len(messages), _AT_ONCE):
            chunk = messages[start : start + _AT_ONCE]
            while self._unconfirmed + len(chunk) > MOST_UNCONFIRMED:
                await self._read()
            self._writer.write(b"".join(chunk))
            self._unconfirmed += len(chunk)
            await self._writer.drain()

    async def confirmed(self) -> None:
        """Return when the broker has stored everything. Raises BenchFailedError."""
        while self._unconfirmed:
            await self._read()

    def close(self) -> None:
        """Hang up."""
        self._writer.close()

    async def _read(self) -> None:
        data = await self._reader.read(_READ_BYTES)
        if not data:
            raise BenchFailedError("the broker hung up")
        *lines, self._held = (self._held + data).split(b"\r\n")
        for line in lines:
            if line.startswith(b'{"stream"'):
                self._unconfirmed -= 1
            elif line.startswith((b"-ERR", b'{"error"')):
                raise BenchFailedError(f"the broker refused a report: {line.decode()}")
            elif line == b"PING":
                self._writer.write(b"PONG\r\n")
