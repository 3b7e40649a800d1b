"""A service behind real mTLS: certificates, capabilities and a server on a free port.

The fixtures of pytest-grpc, over `grpc.aio`: a file of tests says what it tries with `grpc_servicer`,
`grpc_add_to_server`, `grpc_stub_cls` and `served`, and is given `grpc_stub`, `grpc_channel`, `grpc_create_channel`
and `grpc_server`. Each test has a server of its own, because what a service remembers is part of what is tried.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import pytest

from mesh.pki import Pki
from services.platform.capability import CapabilityVerifier
from services.platform.server import GrpcServer
from services.platform.settings import ServiceSettings
from tests.support.capabilities import SERVICES, Signer, new_signer
from tests.support.certificates import Certificates
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from mesh.pki import Pair
    from services.platform.errors import Refusal
    from services.platform.policy import Policy

    BuildRoom = Callable[[ServiceSettings, CapabilityVerifier], GrpcServer]
    StartRoom = Callable[[str, BuildRoom], Awaitable["RunningService"]]
    CreateChannel = Callable[..., grpc.aio.Channel]


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that serves. Whoever opens a channel closes it (`async with`)."""

    name: str
    target: str
    pki: Certificates
    server: GrpcServer

    def channel(self, workload: str = "edge", *options: tuple[str, int]) -> grpc.aio.Channel:
        """A channel under this workload's certificate."""
        return self.channel_under(self.pki.of(workload), None, *options)

    def channel_under(
        self, pair: Pair, authority: Pki | None = None, *options: tuple[str, int]
    ) -> grpc.aio.Channel:
        """A channel under this certificate."""
        credentials = grpc.ssl_channel_credentials(
            (authority or self.pki.authority).ca.read_bytes(), pair.key.read_bytes(), pair.cert.read_bytes()
        )
        name = ("grpc.ssl_target_name_override", f"{self.name}.rooms.ecarus.internal")
        return grpc.aio.secure_channel(self.target, credentials, options=(name, *options))


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(Pki(tmp_path_factory.mktemp("pki"), datetime.now(UTC)))


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return new_signer(tmp_path_factory.mktemp("signer"))


@pytest.fixture
def problem() -> Callable[[grpc.aio.AioRpcError], dict[str, Any]]:
    """Reads the problem document that REST would answer with from a failed call."""

    def of(error: grpc.aio.AioRpcError) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(str(dict(error.trailing_metadata())["x-problem"]))
        return document

    return of


class ServedRoom(NamedTuple):
    """What a service serves and by which rules, as its `__main__` says it."""

    name: str
    services: Sequence[str]
    policy: Policy
    refusal_of: Callable[[Exception], Refusal | None]


@pytest.fixture
def grpc_addr() -> str:
    """Where the service listens. The first one, that is; pytest-grpc's holds its port open."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def build_room(served: ServedRoom, grpc_servicer: Any, grpc_add_to_server: Any) -> BuildRoom:
    """How the service is put together. A file whose service is more than one servicer overrides it."""

    def build(settings: ServiceSettings, verifier: CapabilityVerifier) -> GrpcServer:
        register = partial(grpc_add_to_server, grpc_servicer)
        return GrpcServer(
            settings, list(served.services), register, served.policy, verifier, served.refusal_of
        )

    return build


@pytest.fixture
def room_name(served: ServedRoom) -> str:
    """Under which name it has its certificate."""
    return served.name


@pytest.fixture
async def grpc_server(start_room: StartRoom, room_name: str, build_room: BuildRoom) -> RunningService:
    """The service, serving."""
    return await start_room(room_name, build_room)


@pytest.fixture
def grpc_create_channel(grpc_server: RunningService) -> CreateChannel:
    """A channel to the service under any workload's certificate; whoever opens it closes it (`async with`)."""
    return grpc_server.channel


@pytest.fixture
def grpc_workload() -> str:
    """Who has the channel and the stub; a file whose callers are others overrides it."""
    return "edge"


@pytest.fixture
async def grpc_channel(
    grpc_create_channel: CreateChannel, grpc_workload: str
) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc_create_channel(grpc_workload) as channel:
        yield channel


@pytest.fixture
def grpc_stub(grpc_stub_cls: Any, grpc_channel: grpc.aio.Channel) -> Any:
    return grpc_stub_cls(grpc_channel)


@pytest.fixture
async def start_room(
    pki: Certificates, signer: Signer, tmp_path: Path, grpc_addr: str
) -> AsyncIterator[StartRoom]:
    """`await start_room("config", build)` serves what `build(settings, verifier)` gives, until the end."""
    servers: list[GrpcServer] = []

    async def start(name: str, build: BuildRoom) -> RunningService:
        pair = pki.of(f"room/{name}")
        unused = tmp_path / "unused"
        unused.write_text("unused")
        target = f"127.0.0.1:{free_port()}" if servers else grpc_addr
        settings = ServiceSettings(
            listen=target,
            tls_cert=pair.cert,
            tls_key=pair.key,
            tls_ca=pki.authority.ca,
            database_url=f"sqlite:///{tmp_path}/{name}.sqlite3",
            nats_url="nats://127.0.0.1:1",
            nats_user="unused",
            nats_password_file=unused,
            capability_jwks=signer.jwks,
            drain_seconds=0.2,
        )
        service = name if name in SERVICES else None
        server = build(settings, CapabilityVerifier(settings.capability_jwks, service=service))
        servers.append(server)
        await server.start()
        return RunningService(name, target, pki, server)

    yield start
    for server in servers:
        await server.stop()
