"""One service in an attacker's hands: its password at the broker, its certificate, its database and what it is told."""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import grpc

from mesh.sandbox import broker_user
from tests.attacks.hostile_car import connected, hang_up, not_refused
from tests.attacks.people import certified

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nats.aio.client import Client

    from tests.support.running_mesh import Mesh

REFUSED = {
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,  # not served there at all
    grpc.StatusCode.UNAVAILABLE,  # the handshake is refused
}


class StolenService:
    """At the broker as this service. What the broker refuses is in `errors`, what it delivers in `received`."""

    def __init__(self, mesh: Mesh, name: str) -> None:
        self.mesh = mesh
        self.name = name
        self.errors: list[str] = []
        self.received: list[tuple[str, bytes]] = []
        self.client: Client | None = None

    def tls(self, certificate: str | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.mesh.ca))
        pki = self.mesh.data / "pki"
        context.load_cert_chain(*(pki / f"{certificate or self.name}.{end}" for end in ("crt", "key")))
        return context

    @property
    def password(self) -> str:
        return (self.mesh.data / "secrets" / f"nats-{self.name}.password").read_text().strip()

    @property
    def database(self) -> Path:
        return self.mesh.data / "data" / f"{self.name}.db"

    async def connect(self, certificate: str | None = None) -> Self:
        """Raises nats.errors.Error, OSError or TimeoutError where this pair of password and certificate is nobody."""

        async def failed(error: Exception) -> None:
            self.errors.append(str(error))

        self.client = await connected(
            f"tls://127.0.0.1:{self.mesh.ports.nats}",
            user=broker_user(self.name),
            password=self.password,
            tls=self.tls(certificate),
            error_cb=failed,
        )
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.client is not None:
            await hang_up(self.client)

    async def publish(self, subject: str, data: bytes = b"{}", reply: str = "") -> None:
        assert self.client is not None
        await self.client.publish(subject, data, reply=reply)

    async def listen(self, subject: str) -> None:
        async def arrived(message: Any) -> None:
            self.received.append((message.subject, message.data))

        assert self.client is not None
        await self.client.subscribe(subject, cb=arrived)

    async def flush(self) -> None:
        assert self.client is not None
        await self.client.flush(5)

    async def not_refused(self, subjects: Sequence[str]) -> list[str]:
        """Those that the broker did not refuse."""
        return await not_refused(subjects, self.errors)


@contextmanager
def channel_to(mesh: Mesh, service: str, shown: grpc.ChannelCredentials) -> Iterator[grpc.Channel]:
    with grpc.secure_channel(f"localhost:{mesh.ports.service(service)}", shown) as channel:
        yield channel


def code_of(channel: grpc.Channel, method: str, request: bytes = b"", seconds: float = 20) -> grpc.StatusCode:
    """How a call of this method ends, whatever it would answer."""
    call = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
    try:
        call(request, timeout=seconds)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def code_as(mesh: Mesh, who: str, service: str, method: str, request: bytes = b"") -> grpc.StatusCode:
    """The same with the certificate of `who`."""
    with channel_to(mesh, service, certified(mesh, who)) as channel:
        return code_of(channel, method, request)
