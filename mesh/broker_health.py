"""Asks the broker how it is, in its own protocol, over the port that everybody uses.

It answers what its monitoring page `/healthz` would, JetStream's state included. But that page asks nobody for
a password and lets every website read it (`Access-Control-Allow-Origin: *`), so it stays shut. Spoken by hand,
because a client library's care (reconnecting, waiting between attempts) is what a probe must not have.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from mesh.pki import Pair

TIMEOUT_SECONDS = 1.0
_LOOPBACK = "127.0.0.1"
HEALTH_QUESTION = "$SYS.REQ.SERVER.PING.HEALTHZ"
HEALTH_INBOX = "_INBOX.mesh.health"


@dataclass(frozen=True, slots=True)
class SystemAccount:
    """A user of the broker's system account, its password's file and the certificate it shows."""

    user: str
    password: Path
    pair: Pair


def broker_healthy(
    port: int, ca: Path, account: SystemAccount, timeout_seconds: float = TIMEOUT_SECONDS
) -> Callable[[], Awaitable[bool]]:
    """Ready when the broker calls itself healthy."""
    tls = ssl.create_default_context(cafile=ca)
    tls.load_cert_chain(account.pair.cert, account.pair.key)
    login = {
        "user": account.user,
        "pass": account.password.read_text(encoding="utf-8"),
        "verbose": False,
        "pedantic": False,
        "tls_required": True,
        "name": "mesh-health",
        "lang": "python",
        "version": "1",
        "protocol": 1,
    }
    ask = f"SUB {HEALTH_INBOX} 1\r\nPUB {HEALTH_QUESTION} {HEALTH_INBOX} 0\r\n\r\n"
    question = f"CONNECT {json.dumps(login)}\r\n{ask}".encode()

    async def probe() -> bool:
        # Silence, a refusal and an answer that is none are all the same: not healthy.
        with contextlib.suppress(OSError, TimeoutError, EOFError, ValueError, LookupError):
            async with asyncio.timeout(timeout_seconds):
                return await _ask(port, tls, question)
        return False

    return probe


async def _ask(port: int, tls: ssl.SSLContext, question: bytes) -> bool:
    reader, writer = await asyncio.open_connection(_LOOPBACK, port)
    try:
        if not (await reader.readuntil(b"\r\n")).startswith(b"INFO "):  # told before TLS
            return False
        await writer.start_tls(tls, server_hostname=_LOOPBACK)
        writer.write(question)
        while True:
            words = (await reader.readuntil(b"\r\n")).split()
            if words[0] == b"MSG":
                answer = json.loads(await reader.readexactly(int(words[-1])))
                return bool(answer["data"]["status"] == "ok")
            if words[0] == b"PING":
                writer.write(b"PONG\r\n")
            elif words[0] == b"-ERR":
                return False
    finally:
        writer.close()
