"""What the documents tell a reader to paste works when it is pasted."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.system.documents import blocks, checkout, paste

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("document", "heading"), [("README.md", "## Generate a client"), ("docs/clients.md", "## Generate")]
)
def test_a_python_client_is_generated_and_imports(tmp_path: Path, document: str, heading: str) -> None:
    folder = checkout(tmp_path)
    for block in [each for each in blocks(document, heading) if "npm " not in each]:
        done = paste(block, folder)
        assert done.returncode == 0, done.stderr
    module = "ecarus.remotecontrol.door.v1.door_command_service_pb2_grpc"
    imported = subprocess.run(
        [sys.executable, "-c", f"import {module}"],
        env={"PYTHONPATH": str(folder / "out" / "python")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert imported.returncode == 0, imported.stderr
    # Beside what was there nothing is left but what the repository ignores.
    assert [path.name for path in folder.iterdir() if not path.is_symlink()] == ["out"]


def test_a_typescript_client_is_generated_whole(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = checkout(tmp_path)
    image, _python, typescript = blocks("docs/clients.md", "## Generate")
    assert paste(image, folder).returncode == 0
    done = paste(typescript, folder)
    if "ENOTFOUND" in done.stderr or "EAI_AGAIN" in done.stderr or "ECONNREFUSED" in done.stderr:
        pytest.skip("no index of npm packages can be reached")
    assert done.returncode == 0, done.stderr
    source = folder / "out" / "typescript" / "src"
    assert (source / "ecarus/remotecontrol/door/v1/door_command_service_pb.ts").is_file()
    for each in source.rglob("*_pb.ts"):  # whatever one imports from its side is there, too
        for line in each.read_text().splitlines():
            if ' from "../' in line or ' from "./' in line:
                assert (each.parent / (line.split('"')[1] + ".ts")).is_file(), (each, line)


def test_the_ceremony_of_the_cloud_keys(tmp_path: Path) -> None:
    (ceremony,) = blocks("docs/deployment.md", "## The cloud's keys: ceremony and rotation")
    done = paste(ceremony, checkout(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "manifests" / "1.manifest").is_file()


def test_the_configuration_of_a_broker_s_nodes(tmp_path: Path) -> None:
    folder = checkout(tmp_path)
    (description,) = blocks("docs/deployment.md", "## NATS", "json")
    (folder / "broker.json").write_text(description)
    (command,) = blocks("docs/deployment.md", "## NATS")
    done = paste(command, folder)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (folder / "configurations").iterdir()) == [
        "n1.conf",
        "n2.conf",
        "n3.conf",
    ]
    names = {path.name for path in (folder / "secrets").iterdir()}
    assert {
        "nats-enrolment.password",
        "broker-store-prefix",
        "admission.nk",
        "broker-cluster.password",
    } <= names
