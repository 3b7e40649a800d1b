"""`doorctl vehicle` on the running product: who is let in, and what a revocation does."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.system.app import FOREIGN, SAMPLE, SECOND, Car, eventually
from tests.system.conftest import ROOT

if TYPE_CHECKING:
    from tests.system.conftest import Mesh

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
    for words in (
        ("revoke", "KMHSH81C7LU999999"),
        ("enrol", FOREIGN, "--certificate", other, "--keys", keys),
        ("enrol", FOREIGN, "--certificate", "/nowhere", "--keys", keys),
        ("enrol", FOREIGN, "--certificate", certificate, "--keys", others),
        ("enrol", FOREIGN, "--certificate", certificate, "--keys", private),
    ):
        done = doorctl(mesh, *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("doorctl: ")
        assert len(done.stderr.splitlines()) == 1
