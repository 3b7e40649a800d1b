"""`doorctl vehicle` on the running product: who is let in, and what a revocation does."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.pki import CertificateIdentity, Pki
from mesh.sandbox import vehicle_identity
from services import registry
from tests.support.app import FOREIGN, SAMPLE, SECOND, Car, eventually
from tests.support.running_mesh import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system


def doorctl(mesh: Mesh, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "doorctl", "vehicle", *words],
        cwd=ROOT,
        env=mesh.environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_list_has_every_car(mesh: Mesh) -> None:
    done = doorctl(mesh, "list")
    assert done.returncode == 0, done.stderr
    assert {SAMPLE, SECOND, FOREIGN} <= {line.split()[0] for line in done.stdout.splitlines()}
    assert "no keys" not in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("vin", [FOREIGN, SECOND])  # over NATS, over MQTT
def test_a_revoked_car_is_cut_off_until_it_is_enrolled_again(mesh: Mesh, vin: str) -> None:
    car = Car(mesh, vin)
    car.do("wake")
    eventually(lambda: car.state()["connected"])
    done = doorctl(mesh, "revoke", vin)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(", 1 connections cut\n")
    eventually(lambda: not car.state()["connected"])
    certificate, keys = (
        mesh.data / "pki" / f"vehicle-{vin}.crt",
        mesh.data / "public" / "vehicles" / f"{vin}.pem",
    )
    done = doorctl(mesh, "enrol", vin, "--certificate", str(certificate), "--keys", str(keys))
    assert done.returncode == 0, done.stderr
    eventually(lambda: car.state()["connected"])


def test_what_is_wrong_is_one_line(mesh: Mesh) -> None:
    certificate, other = (str(mesh.data / "pki" / f"vehicle-{vin}.crt") for vin in (FOREIGN, SAMPLE))
    keys, others = (str(mesh.data / "public" / "vehicles" / f"{vin}.pem") for vin in (FOREIGN, SAMPLE))
    private = str(mesh.data / "vehicles" / FOREIGN / "keys.pem")
    like_a_car = CertificateIdentity("like-a-car", uri=vehicle_identity(FOREIGN).uri, server=False)
    services = str(Pki(mesh.data / "pki", datetime.now(UTC)).ensure(like_a_car).cert)
    for words, sentence in (
        (("revoke", "KMHSH81C7LU999999"), "not enrolled"),
        (("revoke", "x"), "vin"),
        (("enrol", FOREIGN, "--certificate", other, "--keys", keys), "another vehicle"),
        (("enrol", FOREIGN, "--certificate", "/nowhere", "--keys", keys), "/nowhere"),
        (("enrol", FOREIGN, "--certificate", services, "--keys", keys), "not signed by the vehicles' CA"),
        (("enrol", FOREIGN, "--certificate", certificate, "--keys", others), "another vehicle"),
        (("enrol", FOREIGN, "--certificate", certificate, "--keys", private), "private key"),
    ):
        done = doorctl(mesh, *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("doorctl: ")
        assert len(done.stderr.splitlines()) == 1
        assert sentence in done.stderr


def test_the_operators_certificate_opens_nothing_else(mesh: Mesh) -> None:
    pair, edge = mesh.data / "pki" / "operator", mesh.data / "pki" / "edge"
    for name in registry.NAMES:
        assert ask_health(mesh, name, edge) == "SERVING"
        assert ask_health(mesh, name, pair) == "PERMISSION_DENIED"


@pytest.mark.parametrize("vin", [SAMPLE, SECOND])
def test_a_cars_certificate_reaches_no_service(mesh: Mesh, vin: str) -> None:
    pair = mesh.data / "pki" / f"vehicle-{vin}"
    for name in registry.NAMES:
        assert ask_health(mesh, name, pair) in {"PERMISSION_DENIED", "UNAVAILABLE"}


def ask_health(mesh: Mesh, service: str, pair: Path) -> str:
    files = (mesh.ca, pair.with_suffix(".key"), pair.with_suffix(".crt"))
    credentials = grpc.ssl_channel_credentials(*(file.read_bytes() for file in files))
    name = ("grpc.ssl_target_name_override", f"{service}.rooms.ecarus.internal")
    target = f"127.0.0.1:{mesh.ports.service(service)}"
    with grpc.secure_channel(target, credentials, options=(name,)) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
        except grpc.RpcError as error:
            return str(error.code().name)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
