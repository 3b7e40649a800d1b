"""The client of docs/clients.md, as it stands there, run twice: each run is a command of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.app import SAMPLE, App, Car, eventually
from tests.system.documents import ROOT, blocks, paste

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system

PAGE, HEADING = "docs/clients.md", "## Native gRPC"


def moved(text: str, mesh: Mesh) -> str:
    """With the port and the folder of this mesh."""
    return text.replace("localhost:8444", f"localhost:{mesh.ports.mtls}").replace(".doors/", f"{mesh.data}/")


def test_each_run_of_the_client_is_a_command_of_its_own(mesh: Mesh, tmp_path: Path) -> None:
    Car(mesh).meet()
    Car(mesh).do("door-time", seconds=0)
    (code,) = blocks(PAGE, HEADING, "python")
    client = tmp_path / "client.py"
    client.write_text(moved(code, mesh))
    app = App(mesh, bearer=mesh.token("user-123"))
    ids = []
    for _ in range(2):
        # Nothing of another test is in flight.
        eventually(lambda: app.order("lock", ["trunk"]).status_code == 202)
        eventually(lambda: app.history(limit=1)["history"][0]["status"] == "SUCCESS")
        done = subprocess.run(
            [sys.executable, str(client)],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT / "gen"), "TOKEN": app.bearer},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (command_id,) = re.findall(r'command_id: "(cmd-[0-9a-f-]+)"', done.stdout)
        assert app.end_of(command_id)["status"] == "SUCCESS"
        ids.append(command_id)
    assert len(set(ids)) == 2
    assert SAMPLE in done.stdout


def test_the_line_for_buf_reads_the_status(mesh: Mesh) -> None:
    (line,) = blocks(PAGE, HEADING)
    done = paste(moved(line, mesh), ROOT, TOKEN=mesh.token("user-123"))
    assert done.returncode == 0, done.stderr
    assert f'"vin": "{SAMPLE}"' in done.stdout
