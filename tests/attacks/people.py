"""Those who hold a bearer: an owner, a guest, an agent, and the operator who gives and takes rights."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc
from ecarus.remotecontrol.access.v1 import access_service_pb2, access_service_pb2_grpc, grant_pb2

from tests.attacks.tokens import claims, signed
from tests.support.app import App

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.running_mesh import Mesh

OWNER = grant_pb2.GRANT_ROLE_OWNER
SHARED_USER = grant_pb2.GRANT_ROLE_SHARED_USER
DIGITAL_KEY = grant_pb2.GRANT_ROLE_DIGITAL_KEY


def bearer(mesh: Mesh, user: str, client: str = "mobile-app") -> str:
    """A token as `make token` prints it."""
    return signed(mesh, claims(mesh, user, client_id=client))


def person(mesh: Mesh, vin: str, user: str) -> App:
    return App(mesh, vin, bearer(mesh, user))


def new_name(kind: str) -> str:
    return f"{kind}-{uuid.uuid4()}"


def certified(mesh: Mesh, name: str) -> grpc.ChannelCredentials:
    """What a workload shows with this certificate of the sandbox."""
    pki = mesh.data / "pki"
    return credentials(mesh, pki / f"{name}.crt", pki / f"{name}.key")


def credentials(mesh: Mesh, certificate: Path, key: Path) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(mesh.ca.read_bytes(), key.read_bytes(), certificate.read_bytes())


@contextmanager
def operator(mesh: Mesh, name: str = "team-operator") -> Iterator[access_service_pb2_grpc.AccessServiceStub]:
    """The access service, as an operator reaches it: who gives rights, or (`operator`) who locks accounts."""
    target = f"localhost:{mesh.ports.service('access')}"
    with grpc.secure_channel(target, certified(mesh, name)) as channel:
        yield access_service_pb2_grpc.AccessServiceStub(channel)


def grant(
    mesh: Mesh, user: str, vin: str, role: grant_pb2.GrantRole.ValueType, seconds: int | None = None
) -> str:
    """Give `user` a right; its id."""
    grant_id = new_name("grant")
    request = access_service_pb2.CreateGrantRequest(
        grant_id=grant_id, principal=user, vin=vin, role=role, valid_seconds=seconds
    )
    with operator(mesh) as access:
        access.CreateGrant(request, timeout=20)
    return grant_id


def revoke(mesh: Mesh, grant_id: str) -> None:
    with operator(mesh) as access:
        access.RevokeGrant(access_service_pb2.RevokeGrantRequest(grant_id=grant_id), timeout=20)


def owner_of(mesh: Mesh, vin: str) -> App:
    """A new person who owns this car."""
    user = new_name("mallory")
    grant(mesh, user, vin, OWNER)
    return person(mesh, vin, user)
