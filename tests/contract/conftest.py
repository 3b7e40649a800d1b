"""A room behind real mTLS: certificates, capabilities and a server on a free port."""

from __future__ import annotations

import json
import socket
import tempfile
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from mesh.pki import Identity, Pair, Pki
from services.runtime.capability import AUDIENCE, ISSUER, CapabilityVerifier, audience_of
from services.runtime.settings import RoomSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from services.runtime.server import RoomServer

    BuildRoom = Callable[[RoomSettings, CapabilityVerifier], RoomServer]
    StartRoom = Callable[[str, BuildRoom], Awaitable["RunningRoom"]]


SERVICES = ("command", "status", "config", "diagnostics")


@dataclass(frozen=True, slots=True)
class Certificates:
    """A CA of this session. `of("edge")`, `of("room/config")`, `of("team/fleet")` sign on first use."""

    authority: Pki

    def of(self, workload: str) -> Pair:
        kind, _, name = workload.partition("/")
        dns = ("localhost", f"{name}.rooms.ecarus.internal") if kind == "room" else ("localhost",)
        return self.authority.ensure(
            Identity(
                workload.replace("/", "-"),
                uri=f"spiffe://ecarus/{workload}",
                dns=dns,
                addresses=("127.0.0.1",),
            )
        )

    def signed(self, names: Sequence[x509.GeneralName]) -> Pair:
        """A client's certificate with exactly these names, whatever they are."""
        folder = Path(tempfile.mkdtemp(dir=self.authority.ca.parent))
        pair = Pair(folder / "odd.crt", folder / "odd.key")
        key = ec.generate_private_key(ec.SECP256R1())
        issuer, issuer_key = self.authority._ca_cert, self.authority._ca_key
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "odd")])
        builder = self.authority._builder(subject, issuer.subject, key.public_key(), 1)
        odd = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        self.authority._write(pair, odd.sign(issuer_key, hashes.SHA256()), key)
        return pair


@dataclass(frozen=True, slots=True)
class Signer:
    """The access service's signing key. `jwks` is the file that rooms check with."""

    key: Ed25519PrivateKey
    jwks: Path

    def capability(
        self,
        vin: str,
        *actions: str,
        subject: str = "user-123",
        actor: str | None = None,
        source: str = "MOBILE_APP",
        seconds: int = 60,
        services: tuple[str, ...] = SERVICES,
        **claimed: Any,
    ) -> str:
        """For `actions` of each of `services`: access makes them for one of either."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": [AUDIENCE, *map(audience_of, services)],
            "sub": subject,
            "act": actor or subject,
            "vin": vin,
            "actions": list(actions),
            "amr": ["pwd"],
            "src": source,
            "iat": now,
            "exp": now + seconds,
            "jti": str(uuid.uuid4()),
            "cred": "key_1",
            **claimed,
        }
        return jwt.encode(claims, self.key, algorithm="EdDSA", headers={"kid": "test"})


@dataclass(frozen=True, slots=True)
class RunningRoom:
    """A room that serves. Whoever opens a channel closes it (`async with`)."""

    name: str
    target: str
    pki: Certificates
    server: RoomServer

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
    key = Ed25519PrivateKey.generate()
    public = jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    jwks = tmp_path_factory.mktemp("signer") / "jwks.json"
    jwks.write_text(json.dumps({"keys": [{**public, "kid": "test", "alg": "EdDSA", "use": "sig"}]}))
    return Signer(key, jwks)


@pytest.fixture
def problem() -> Callable[[grpc.aio.AioRpcError], dict[str, Any]]:
    """Reads the problem document that REST would answer with from a failed call."""

    def of(error: grpc.aio.AioRpcError) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(str(dict(error.trailing_metadata())["x-problem"]))
        return document

    return of


@pytest.fixture
async def start_room(pki: Certificates, signer: Signer, tmp_path: Path) -> AsyncIterator[StartRoom]:
    """`await start_room("config", build)` serves what `build(settings, verifier)` gives, until the end."""
    servers: list[RoomServer] = []

    async def start(name: str, build: BuildRoom) -> RunningRoom:
        pair = pki.of(f"room/{name}")
        unused = tmp_path / "unused"
        unused.write_text("unused")
        target = f"127.0.0.1:{_free_port()}"
        settings = RoomSettings(
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
        return RunningRoom(name, target, pki, server)

    yield start
    for server in servers:
        await server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
