"""The signing key is replaced while cars are on the road: `doorctl keys`, then restarts in the manual's order."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from key_files.pem import read_signer
from tests.support.app import SAMPLE, SECOND, App, Car, eventually
from tests.support.running_mesh import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.running_mesh import Mesh

pytestmark = [pytest.mark.system, pytest.mark.disturbs]
RESTART_SECONDS = 30.0


def keys(mesh: Mesh, *words: str | Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "doorctl", "keys", *map(str, words)],
        cwd=ROOT,
        env=mesh.environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def restart(mesh: Mesh, *components: str) -> None:
    for component in components:
        os.kill(mesh.pid_of(component), signal.SIGKILL)
        mesh.wait_for_line(f"mesh: {component} ready", RESTART_SECONDS)


def acts(mesh: Mesh, vin: str) -> None:
    """A command is carried out, once."""
    app, car = App(mesh, vin), Car(mesh, vin)
    accepted = eventually(lambda: (a := app.order("lock")).status_code == 202 and a, 45)
    command_id = accepted.json()["commandId"]
    assert app.end_of(command_id)["status"] == "SUCCESS"
    befores = [line["door"] for line in car.actuations(command_id) if line["phase"] == "BEFORE"]
    assert len(befores) == len(set(befores))


@pytest.mark.timeout(240)
def test_the_signing_key_is_replaced_and_the_old_one_revoked(mesh: Mesh, tmp_path: Path) -> None:
    secrets, public = mesh.data / "secrets", mesh.data / "public"
    for vin in (SAMPLE, SECOND):
        Car(mesh, vin).meet()
        Car(mesh, vin).do("door-time", seconds=0)
    old_id = read_signer(secrets / "signing.key").key_id.hex()
    new_key = tmp_path / "new.key"
    keys(mesh, "signer", "--out", new_key)
    others = ("--seal", public / "cloud-seal.pub", "--report", public / "cloud-report.pub")
    endorse = (
        "manifest",
        "--root",
        secrets / "root.key",
        "--manifests",
        public / "manifests",
        "--days",
        "90",
    )
    new_public = new_key.with_name("new.key.pub")

    keys(mesh, *endorse, *others, "--sign", public / "signing.pub", "--sign", new_public)
    restart(mesh, "command", "signer")
    acts(mesh, SAMPLE)

    # The cars have not heard of the new key: they refuse, get what they lack, and take the order signed again.
    shutil.copy(new_key, secrets / "signing.key")
    shutil.copy(new_public, public / "signing.pub")
    restart(mesh, "signer")
    for vin in (SAMPLE, SECOND):
        acts(mesh, vin)

    keys(mesh, *endorse, *others, "--sign", new_public, "--revoke", old_id)
    restart(mesh, "command", "signer")
    for vin in (SAMPLE, SECOND):
        Car(mesh, vin).do("reboot")
        acts(mesh, vin)
