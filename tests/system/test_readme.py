"""The README's lines, pasted in their order into one shell, tell the story that it promises."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.support.app import App, Car, eventually
from tests.system.documents import ROOT, blocks, paste

if TYPE_CHECKING:
    from mesh.ports import Ports
    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system

# As the reader's curl, but for what it says at the end of each answer; a job-control shell, as a reader's is.
CURL = """set -m
curl() { command curl -sS --max-time 60 -w '\\n[%{http_code}]\\n' "$@"; }
"""


def moved(block: str, ports: Ports) -> str:
    """The block with the ports of this mesh."""
    for usual, port in ((8080, ports.http), (8600, ports.control), (8590, ports.phones)):
        block = block.replace(f"127.0.0.1:{usual}", f"127.0.0.1:{port}")
    return block


def statuses(said: str) -> list[str]:
    return re.findall(r"^\[(\d{3})\]$", said, re.MULTILINE)


def test_the_readmes_lines_tell_a_story_that_works(mesh: Mesh) -> None:
    orders, hands = blocks("README.md", "## Try it")
    car, app = Car(mesh), App(mesh)
    car.do("wake")
    car.meet()
    eventually(lambda: app.get("status").status_code == 200)

    first = paste(CURL + moved(orders, mesh.ports), ROOT)
    assert first.returncode == 0, first.stderr
    stream = [line for line in first.stdout.splitlines() if line.startswith(("event:", "data:"))]
    told = [json.loads(line.removeprefix("data:"))["type"] for line in stream if line.startswith("data:")]
    assert {"DOOR_STATUS_UPDATE", "COMMAND_STATUS_UPDATE"} <= set(told)
    assert statuses(first.stdout) == [
        "202",  # unlock
        "200",  # status
        "202",  # lock
        "200",  # why commands failed
        "202",  # a self-check
        *["200"] * 6,  # the trend of health, history, diagnostics, config three times
    ]
    assert first.stdout.count('"status":"SUCCESS"') + first.stdout.count('"status": "SUCCESS"') >= 2

    preamble = orders.split("\n\n", 1)[0] + "\n"
    second = paste(CURL + moved(preamble + hands, mesh.ports), ROOT)
    assert second.returncode == 0, second.stderr
    answers = [code for code in statuses(second.stdout) if code != "200"]
    assert answers == ["409", "409", *["202"] * 4]  # lock, unlock, lock twice, unlock, cancel
    for word in ("DOOR_OPEN", "VEHICLE_MOVING", "PARTIAL_SUCCESS", '"CANCELLED"', "COMMAND_CONTRADICTED"):
        assert word in second.stdout, word
    (contradicted,) = (
        json.loads(line)
        for line in second.stdout.splitlines()
        if line.startswith("{") and '"confirmation"' in line
    )
    assert (contradicted["status"], contradicted["confirmation"]["state"]) == ("SUCCESS", "CONTRADICTED")
    observed = {each["doorId"]: each["locked"] for each in contradicted["confirmation"]["doors"]}
    assert (observed["rearLeft"], observed["driver"]) == (False, True)
    assert car.state()["slippingActuators"] == car.state()["failedActuators"] == []


def test_the_readmes_phone_is_told_in_korean_and_later_when_it_is_in_trouble(mesh: Mesh) -> None:
    car, app = Car(mesh), App(mesh)
    car.meet()
    eventually(lambda: app.get("status").status_code == 200)
    (lines,) = blocks("README.md", "## Push notifications")
    signed_in = lines.replace("$(make -s token USER=user-123)", mesh.token("user-123"))
    quiet = """curl() { command curl -sS --max-time 60 "$@"; echo; }
"""
    said = paste(quiet + moved(signed_in, mesh.ports), ROOT)
    assert said.returncode == 0, said.stderr
    inboxes = [json.loads(line) for line in said.stdout.splitlines() if line.startswith('{"phone":')]
    assert [each["count"] for each in inboxes] == [1, 2]
    assert [each["title"] for each in inboxes[1]["messages"]] == ["잠금 해제됨", "잠김"]
    assert '"code"' not in said.stdout
