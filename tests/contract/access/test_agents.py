"""Two agents for an emergency, over the public contract, and what owners are told of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.door.v1 import door_grant_service_pb2 as rpc
from ecarus.remotecontrol.door.v1.door_update_pb2 import DoorUpdate

from tests.contract.access.access_service import VIN, CheckEdge, TokenIssuer, acting, door, problem_in
from tests.contract.access.door_of_rights import DoorOfRights, reason_of

if TYPE_CHECKING:
    from pathlib import Path


async def approve(rights: DoorOfRights, agent: str, **claims: Any) -> Any:
    request = rpc.ApproveEmergencyRequest(vin=VIN, approval={"agent": agent})
    return await rights.ask("user-123", "POST", "emergency/approve", request, body=request.approval, **claims)


async def test_a_second_agent_of_the_case_lets_the_first_unlock(
    rights: DoorOfRights, check: CheckEdge, token_issuer: TokenIssuer, access: Any, tmp_path: Path
) -> None:
    headers = {
        "authorization": f"Bearer {token_issuer.token(**acting('agent-7'))}",
        "content-type": "application/json",
    }
    emergency = {"method": "POST", "body": b'{"targetDoors":["all"],"unlockMode":"EMERGENCY"}'}
    refused = await check(door("unlock"), headers=headers, **emergency)
    assert (problem_in(refused)["code"], problem_in(refused)["status"]) == ("APPROVAL_REQUIRED", 403)

    approved = await approve(rights, "agent-7", **acting("agent-8"))
    assert (approved.vin, approved.agent) == (VIN, "agent-7")
    assert (await check(door("unlock"), headers=headers, **emergency)).HasField("ok_response")
    assert (await check(door("unlock"), headers=headers, **emergency)).HasField("ok_response")

    _, sent = access
    told = [DoorUpdate.FromString(message.payload) for message in sent if "update" in message.subject]
    assert [(update.system_alert.code, update.vin) for update in told] == [
        ("ACCESS_AGENT_ACTED", VIN),  # the approval itself is asked for by an agent
        ("ACCESS_EMERGENCY_APPROVED", VIN),
        ("ACCESS_AGENT_ACTED", VIN),
    ]
    assert "agent-8" in told[1].system_alert.message
    assert "agent-7" in told[2].system_alert.message
    assert "user-123" in told[2].system_alert.message
    with closing(sqlite3.connect(tmp_path / "access-record.sqlite3")) as database:
        acts = database.execute("SELECT act, actor, principal FROM audit_entry WHERE grant_id = 'case-1'")
        assert acts.fetchall() == [
            ("AGENT_ACTED", "agent-8", "user-123"),
            ("EMERGENCY_APPROVED", "agent-8", "user-123"),
            ("AGENT_ACTED", "agent-7", "user-123"),
        ]


async def test_nobody_but_another_agent_approves(rights: DoorOfRights) -> None:
    for agent, claims in (("agent-8", acting("agent-8")), ("agent-7", {})):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await approve(rights, agent, **claims)
        assert reason_of(caught) == "ACTION_NOT_GRANTED"
