"""The TypeScript client, from its tarball in an empty folder, against the mesh: every example of its README."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.app import FOREIGN, SAMPLE, App, Car, owner_of_a_locked_car
from tests.support.node import built_package, install, need_node
from tests.system.documents import ROOT, blocks, paste

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system

PAGE = "packages/typescript/README.md"


def examples(heading: str) -> list[str]:
    (*found,) = blocks(PAGE, heading, "js")
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with the package, as an integrator has it."""
    made = tmp_path_factory.mktemp("integrator")
    install(made, [built_package("@ecarus/doors")])
    return made


@pytest.fixture
def app(mesh: Mesh) -> App:
    return owner_of_a_locked_car(mesh)


def run(code: str, folder: Path, app: App, **environment: str) -> str:
    file = folder / "example.mjs"
    file.write_text(code)
    here = {
        "DOORS_URL": app.mesh.base_url.removesuffix("/api/v1/remotecontrol"),
        "DOORS_TOKEN": app.bearer,
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run(
        ["node", str(file)],
        cwd=folder,
        env=here | environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_unlock_is_waited_for(folder: Path, app: App) -> None:
    said = run(examples("## Unlock")[0], folder, app)
    assert said.startswith("SUCCESS")
    assert "driver" in said
    assert not Car(app.mesh).state_locked()


def test_ten_lines_do_what_the_nine_curl_lines_do(folder: Path, app: App) -> None:
    code = examples("## Unlock")[1]
    assert len(code.strip().splitlines()) == 10
    said = run(code, folder, app)
    for line in ("unlock SUCCESS", "lock SUCCESS", "cancel COMMAND_NOT_FOUND", "stream "):
        assert line in said, said
    for word in ("status {", "history ", "config {", "changed 2", "diagnostics "):
        assert word in said, said


def test_a_vehicle_is_watched(folder: Path, app: App) -> None:
    app.done("unlock")
    said = run(examples("## Watch")[0], folder, app)
    assert "driver locked: true" in said
    assert "SUCCESS" in said


def test_many_vehicles_are_watched_over_one_socket(folder: Path, app: App) -> None:
    flag = "--experimental-websocket"  # which newer Nodes need no more, and take all the same
    said = run(examples("## Watch")[1], folder, app, NODE_OPTIONS=flag, NODE_NO_WARNINGS="1")
    assert f"{FOREIGN} is not told of: VEHICLE_NOT_FOUND" in said
    assert f"{SAMPLE} COMMAND_STATUS_UPDATE" in said


def test_a_refusal_says_whether_something_happened(folder: Path, app: App) -> None:
    said = run(examples("## Errors")[0], folder, app)
    assert said.startswith("VEHICLE_NOT_FOUND 404")
    assert "Nothing happened. false" in said


def test_a_step_up_is_asked_for_once_and_the_unlock_goes_on(folder: Path, app: App) -> None:
    stale = app.mesh.token("user-123", age_seconds=100_000)
    said = run(
        examples("## Tokens and step-up")[0],
        folder,
        app,
        DOORS_TOKEN=stale,
        DOORS_FRESH_TOKEN=app.mesh.token("user-123"),
    )
    assert "sign in again:" in said
    assert said.endswith("SUCCESS\n")


def test_any_operation_can_be_called(folder: Path, app: App) -> None:
    grants = app.get("grants").json()["grants"]
    said = run(examples("## All of the API")[0], folder, app)
    assert said.startswith(f"{len(grants)} ")


def test_types_are_generated_from_the_document_that_is_served(mesh: Mesh, tmp_path: Path) -> None:
    need_node()
    (lines,) = blocks("docs/clients.md", "## Generate from openapi.json")
    done = paste(lines.replace("127.0.0.1:8080", f"127.0.0.1:{mesh.ports.http}"), tmp_path)
    if any(word in done.stderr for word in ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ENOTCACHED")):
        pytest.skip("no index of npm packages can be reached")
    assert done.returncode == 0, done.stdout + done.stderr
    made = (tmp_path / "out/openapi.ts").read_text(encoding="utf-8")
    assert '"/api/v1/remotecontrol/vehicles/{vin}/door/unlock": {' in made
    pinned = json.loads((ROOT / "packages/typescript/package.json").read_text())["devDependencies"]
    assert f"openapi-typescript@{pinned['openapi-typescript']} " in lines


def test_the_sample_is_the_specifications() -> None:
    assert SAMPLE in examples("## Unlock")[1]
