"""kill -9 in the middle of a command: it ends all the same, once, and agrees with what the car did."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from services import registry
from tests.support.app import ASLEEP, FINAL, App, Car, eventually

if TYPE_CHECKING:
    from tests.support.running_mesh import Mesh

pytestmark = [pytest.mark.system, pytest.mark.disturbs]
RECOVERY_SECONDS = 90.0
ATTEMPTS = 3


@pytest.mark.parametrize("component", ["nats", "envoy", *registry.NAMES, "vehicles"])
@pytest.mark.timeout(400)
def test_a_command_survives_the_death_of_any_one_part(mesh: Mesh, component: str) -> None:
    app, car = App(mesh), Car(mesh)
    eventually(lambda: app.get("status").status_code == 200, RECOVERY_SECONDS)
    car.do("door-time", seconds=0.3)
    action = "unlock" if car.state_locked() else "lock"
    mode = {"unlockMode": "EMERGENCY"} if action == "unlock" else {}
    accepted = eventually(lambda: (a := app.order(action, **mode)).status_code == 202 and a)
    command_id = accepted.json()["commandId"]
    eventually(lambda: car.actuations(command_id))
    os.kill(mesh.pid_of(component), signal.SIGKILL)

    ended = app.end_of(command_id, 30 + 10 + RECOVERY_SECONDS)
    mesh.wait_for_line(f"mesh: {component} ready", RECOVERY_SECONDS)
    entries = eventually(
        lambda: [e for e in app.history(limit=200).get("history", ()) if e["commandId"] == command_id],
        RECOVERY_SECONDS,
    )
    assert [entry["status"] for entry in entries] == [ended["status"]]
    (moved,) = eventually(lambda: [car.moved(command_id)], RECOVERY_SECONDS)  # the cars may have died too
    if ended["status"] == "SUCCESS":
        told = {result["doorId"] for result in ended["doorResults"]}
        assert moved  # a door that was there already succeeds and does not move
        assert moved <= told
    elif ended["status"] == "TIMEOUT":
        assert ended["mayHaveSucceeded"] is True
    befores = [line["door"] for line in car.actuations(command_id) if line["phase"] == "BEFORE"]
    assert len(befores) == len(set(befores)), "a door was moved twice"
    assert app.command(command_id)["status"] == ended["status"]
    told = eventually(lambda: (found := _leaves(app, command_id)).total() >= 2 and found, RECOVERY_SECONDS)
    assert told == {"COMMAND_ACCEPTED": 1, f"COMMAND_{ended['status']}": 1}


def _leaves(app: App, command_id: str) -> Counter[str]:
    """What the audit ledger holds of a command's beginning and its end."""
    kinds = {"COMMAND_ACCEPTED", *(f"COMMAND_{status}" for status in FINAL)}
    return Counter(
        each["kind"] for each in app.audit() if each.get("commandId") == command_id and each["kind"] in kinds
    )


@pytest.mark.timeout(400)
def test_the_broker_may_lose_everything(mesh: Mesh) -> None:
    app, car = App(mesh, ASLEEP), Car(mesh, ASLEEP)
    car.meet()
    car.do("door-time", seconds=0)
    # A command lives for 30 s. Where the broker, whoever makes its streams and the car are not back by then it ends as
    # what it is; on a machine that has other things to do that is no failure, as long as it is not always so.
    ends = []
    while len(ends) < ATTEMPTS and "SUCCESS" not in ends:
        ends.append(_ordered_while_away_from_a_broker_that_loses_everything(mesh, app, car))
    assert ends[-1] == "SUCCESS", ends
    car.do("sleep")


def _ordered_while_away_from_a_broker_that_loses_everything(mesh: Mesh, app: App, car: Car) -> str:
    """How the command ended. It acted once, or it was too late, and never."""
    car.do("leave-coverage")
    car.do("doors/driver/lock")
    accepted = eventually(
        lambda: (a := app.order("unlock", ["driver"], unlockMode="EMERGENCY")).status_code == 202 and a
    )
    command_id = accepted.json()["commandId"]
    eventually(lambda: "SENT" in [stage["name"] for stage in app.command(command_id)["stages"]])
    # Taken away at once, while it holds still: the next one is there in a moment, and must not find a part of it.
    broker, store = mesh.pid_of("nats"), mesh.data / "nats" / "jetstream"
    os.kill(broker, signal.SIGSTOP)
    lost = store.rename(mesh.data / "nats" / f"lost-{command_id}")
    os.kill(broker, signal.SIGKILL)
    mesh.wait_for_line("mesh: nats ready", RECOVERY_SECONDS)
    shutil.rmtree(lost)
    car.do("enter-coverage")
    ended = app.end_of(command_id)
    car.meet()
    befores = [line["door"] for line in car.actuations(command_id) if line["phase"] == "BEFORE"]
    if ended["status"] == "SUCCESS":
        assert befores == ["driver"]
    else:
        assert (ended["status"], ended["mayHaveSucceeded"]) == ("TIMEOUT", True)
        assert len(befores) <= 1
    return str(ended["status"])
