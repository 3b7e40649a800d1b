"""Agents of the call centre through the edge: two for an emergency, and the owner who watches is told."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support.app import SAMPLE, App, Car
from tests.system.test_given_rights import alerts

if TYPE_CHECKING:
    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system


def desk(mesh: Mesh, agent: str, case: str) -> App:
    """An agent at work, with a token as `make token USER=user-123 ACT=... VIN=... CASE=...` prints it."""
    return App(mesh, bearer=mesh.token("user-123", vin=SAMPLE, actor=agent, case=case))


def test_an_agents_emergency_needs_a_second_one_and_the_owner_is_told(mesh: Mesh) -> None:
    Car(mesh).do("door-time", seconds=0)
    case = f"case-{uuid.uuid4()}"
    name = f"agent-{uuid.uuid4()}"
    first, second = desk(mesh, name, case), desk(mesh, f"agent-{uuid.uuid4()}", case)
    owner = App(mesh, bearer=mesh.token("user-123"))
    with owner.stream() as told:
        same = {"correlation_id": f"emergency-{uuid.uuid4()}"}
        refused = first.order("unlock", ["trunk"], unlockMode="EMERGENCY", **same)
        assert (refused.status_code, refused.json()["code"]) == (403, "APPROVAL_REQUIRED")
        own = first.send("POST", "emergency/approve", {"agent": name})
        assert (own.status_code, own.json()["code"]) == (403, "ACTION_NOT_GRANTED")
        approved = second.send("POST", "emergency/approve", {"agent": name})
        assert (approved.status_code, approved.json()["agent"]) == (200, name)
        accepted = first.order("unlock", ["trunk"], unlockMode="EMERGENCY", **same)
        assert accepted.status_code == 202
        told.wait_for(
            lambda e: (
                e.get("event") == "SYSTEM_ALERT"
                and e["data"]["data"]["code"] == "ACCESS_AGENT_ACTED"
                and name in e["data"]["data"]["message"]
                and "EMERGENCY" in e["data"]["data"]["message"]
            )
        )
        assert "ACCESS_EMERGENCY_APPROVED" in alerts(told)
    owner.end_of(accepted.json()["commandId"])
    entry = next(
        each
        for each in owner.get("history", limit=20).json()["history"]
        if each.get("commandId") == accepted.json()["commandId"]
    )
    assert entry["source"] == "CALL_CENTER"
