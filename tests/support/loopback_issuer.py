"""An issuer of access tokens on the loopback that shares no code with the product: its keys, its metadata, its tokens.

It answers as told: wrongly, slowly, too much, or not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

METADATA = "/.well-known/openid-configuration"
KEYS = "/keys"
PrivateKey = Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def new_key(algorithm: str) -> PrivateKey:
    """A key for signatures of this algorithm."""
    if algorithm == "EdDSA":
        return Ed25519PrivateKey.generate()
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65_537, 2_048)


def public_jwk(key: PrivateKey, key_id: str, algorithm: str) -> dict[str, Any]:
    """The public half, as a set shows it."""
    maker: Any = {
        "EdDSA": jwt.algorithms.OKPAlgorithm,
        "ES256": jwt.algorithms.ECAlgorithm,
    }.get(algorithm, jwt.algorithms.RSAAlgorithm)
    members = maker.to_jwk(key.public_key(), as_dict=True)
    members.pop("key_ops", None)
    return {**members, "kid": key_id, "alg": algorithm, "use": "sig"}


@contextlib.contextmanager
def issuer_beside() -> Iterator[LoopbackIssuer]:
    """An issuer that answers in a thread of its own, for tests that wait without a loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    issuer = LoopbackIssuer()
    try:
        asyncio.run_coroutine_threadsafe(issuer.start(), loop).result(10)
        yield issuer
        asyncio.run_coroutine_threadsafe(issuer.stop(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@dataclass
class LoopbackIssuer:
    """The issuer. `answers` replaces what a path says, by (status, body); `paths` are those asked for, in order."""

    port: int = field(default_factory=free_port)
    keys: dict[str, tuple[str, PrivateKey]] = field(
        default_factory=lambda: {"one": ("EdDSA", new_key("EdDSA"))}
    )
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    hold: asyncio.Event | None = None
    _server: asyncio.Server | None = None
    _heard: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def metadata_url(self) -> str:
        return self.url + METADATA

    @property
    def jwks(self) -> dict[str, Any]:
        return {"keys": [public_jwk(key, key_id, alg) for key_id, (alg, key) in self.keys.items()]}

    def rotate(self, key_id: str, algorithm: str = "EdDSA") -> None:
        """Sign with a new key alone from now on."""
        self.keys = {key_id: (algorithm, new_key(algorithm))}

    def token(self, *, audience: str, key_id: str | None = None, **changed: Any) -> str:
        """An access token, good for ten minutes."""
        name = key_id or next(iter(self.keys))
        algorithm, key = self.keys[name]
        now = int(time.time())
        claims = {"iss": self.url, "aud": audience, "sub": "user-123", "client_id": "web", "jti": f"t-{now}"}
        claims |= {"iat": now, "exp": now + 600, **changed}
        return jwt.encode(claims, key, algorithm=algorithm, headers={"typ": "at+jwt", "kid": name})

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def asked(self, times: int) -> None:
        """Return once its metadata were asked for so often."""
        async with self._heard:
            await self._heard.wait_for(lambda: self.paths.count(METADATA) >= times)

    async def stop(self) -> None:
        """Be away: nobody listens at the port."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def __aenter__(self) -> LoopbackIssuer:
        await self.start()
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self.hold is not None:
            self.hold.set()
        await self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = request.split(" ", 2)[1]
            async with self._heard:
                self.paths.append(path)
                self._heard.notify_all()
            if self.hold is not None:
                await self.hold.wait()
            status, body = self.answers.get(path) or self._usual(path)
            head = {"content-type": "application/json", "content-length": str(len(body)), **self.headers}
            lines = [f"HTTP/1.1 {status} Some", "connection: close", *(f"{k}: {v}" for k, v in head.items())]
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            await writer.drain()
        writer.close()

    def _usual(self, path: str) -> tuple[int, bytes]:
        if path == METADATA:
            return 200, json.dumps({"issuer": self.url, "jwks_uri": self.url + KEYS}).encode()
        return (200, json.dumps(self.jwks).encode()) if path == KEYS else (404, b"{}")
