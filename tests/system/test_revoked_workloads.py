"""A workload's certificate is revoked while everything runs: it ends within seconds, and nobody else notices."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.pki import CertificateIdentity, Pki
from services import registry
from tests.support.app import eventually
from tests.support.running_mesh import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mesh.pki import Pair
    from tests.support.running_mesh import Mesh

pytestmark = [pytest.mark.system, pytest.mark.disturbs]
ASKED = health_pb2.HealthCheckRequest()


@contextmanager
def channel(ca: Path, pair: Pair, target: str, name: str) -> Iterator[grpc.Channel]:
    credentials = grpc.ssl_channel_credentials(*(file.read_bytes() for file in (ca, pair.key, pair.cert)))
    options = (("grpc.ssl_target_name_override", name),)
    with grpc.secure_channel(target, credentials, options=options) as opened:
        yield opened


def health(opened: grpc.Channel) -> str:
    try:
        return str(health_pb2_grpc.HealthStub(opened).Check(ASKED, timeout=30).status)
    except grpc.RpcError as error:
        return str(error.code().name)


def revoke(mesh: Mesh, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mesh", "revoke", name],
        cwd=ROOT,
        env=mesh.environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stolen_certificate_of_the_edge_ends_at_every_service_on_its_live_connections(mesh: Mesh) -> None:
    pki = Pki(mesh.data / "pki", datetime.now(UTC))
    stolen = pki.ensure(CertificateIdentity("stolen-edge", uri="spiffe://ecarus/edge", server=False))
    for service in registry.NAMES:
        target, name = f"127.0.0.1:{mesh.ports.service(service)}", f"{service}.rooms.ecarus.internal"
        with (
            channel(mesh.ca, stolen, target, name) as thief,
            channel(mesh.ca, pki.pair("edge"), target, name) as edge,
        ):
            if service == registry.NAMES[0]:
                assert health(thief) == "1"
                watching = health_pb2_grpc.HealthStub(thief).Watch(ASKED, timeout=30)
                next(watching)
                revoke(mesh, "stolen-edge")
                with pytest.raises(grpc.RpcError) as ended:
                    next(watching)
                assert ended.value.code() is grpc.StatusCode.PERMISSION_DENIED
            eventually(lambda opened=thief: health(opened) == "PERMISSION_DENIED")  # type: ignore[misc]
            assert health(edge) == "1"


def test_a_stolen_certificate_of_a_team_ends_at_the_door(mesh: Mesh) -> None:
    pki = Pki(mesh.data / "pki", datetime.now(UTC))
    stolen = pki.ensure(CertificateIdentity("team-stolen", uri="spiffe://ecarus/team/stolen", server=False))
    target = f"127.0.0.1:{mesh.ports.mtls}"

    def asks(pair: Pair) -> str:
        with channel(mesh.ca, pair, target, "localhost") as opened:
            return health(opened)

    assert asks(stolen) == "1"
    revoke(mesh, "team-stolen")
    eventually(lambda: asks(stolen) == "UNAVAILABLE")
    assert asks(pki.pair("team-demo")) == "1"
