"""Agents of a call centre: what they may never do, and what is known of them behind."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from services.access.adapters.authorizer import Allow, Deny
from services.access.domain import step_up
from services.access.domain.accounts import Caller, Source
from services.access.domain.agents import EmergencyApproval, NotAnotherAgentError, is_closed_to
from services.access.usecases.agents import AgentSupervision
from tests.unit.access.conftest import VIN, acting

if TYPE_CHECKING:
    from tests.unit.access.conftest import AccessHarness

AGENT = Caller("user-123", "agent-7", Source.CALL_CENTER)
CUSTOMER = Caller("user-123", "user-123", Source.MOBILE_APP)


@pytest.mark.parametrize(
    ("line", "closed", "answer"),
    [
        (step_up.GIVE, False, True),
        (step_up.RESTORE, False, True),
        ("", True, True),
        (step_up.UNLOCK, False, False),
        (step_up.WEAKEN, False, False),
        ("", False, False),
    ],
)
def test_no_agent_changes_who_may_what(line: str, closed: bool, answer: bool) -> None:
    assert is_closed_to(AGENT, line, closed=closed) is answer
    assert not is_closed_to(CUSTOMER, line, closed=closed)


async def test_what_is_closed_to_agents_is_refused_and_says_why(house: AccessHarness) -> None:
    routes: Any = house.edge._routes
    for _, methods in routes._rest:
        for verb, route in methods.items():
            if route.action == "door.status.read":
                methods[verb] = replace(route, closed_to_agents=True)
    agent = {"authorization": f"Bearer {house.issuer.token(**acting('agent-7'))}"}
    refused = await house.edge.decide(house.request("status", headers=agent))
    assert isinstance(refused, Deny)
    assert refused.refusal.reason.code == "ACTION_NOT_GRANTED"
    assert "An agent changes no rights" in refused.refusal.detail
    assert isinstance(await house.edge.decide(house.request("status")), Allow)


async def test_the_case_of_an_agent_goes_with_the_capability(house: AccessHarness) -> None:
    agent = {"authorization": f"Bearer {house.issuer.token(**acting('agent-7'))}"}
    made = await house.edge.decide(house.request("history", headers=agent))
    assert isinstance(made, Allow)
    assert made.capability is not None
    capability = house.verifier.verify(made.capability)
    assert (capability.subject, capability.actor, capability.source, capability.case) == (
        "user-123",
        "agent-7",
        "CALL_CENTER",
        "case-1",
    )


EMERGENCY = b'{"targetDoors":["all"],"unlockMode":"EMERGENCY"}'


def bearer_of(house: AccessHarness, agent: str, **changed: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {house.issuer.token(**acting(agent) | changed)}"}


async def answer_to(house: AccessHarness, agent: str, body: bytes = EMERGENCY, **changed: Any) -> str:
    made = await house.edge.decide(house.unlock(body, headers=bearer_of(house, agent, **changed)))
    return made.refusal.reason.code if isinstance(made, Deny) else "OK"


def approved(house: AccessHarness, agent: str, by: str = "agent-8", case: str = "case-1") -> None:
    at = datetime.fromtimestamp(house.clock(), UTC)
    house.agents.approvals.append(EmergencyApproval(VIN, "user-123", agent, case, by, at))


async def test_an_agents_emergency_needs_two(house: AccessHarness) -> None:
    assert await answer_to(house, "agent-7") == "APPROVAL_REQUIRED"
    assert await answer_to(house, "agent-7", b'{"targetDoors":["all"]}') == "OK"
    approved(house, "agent-9")
    approved(house, "agent-7", case="case-2")
    assert await answer_to(house, "agent-7") == "APPROVAL_REQUIRED"
    approved(house, "agent-7")
    assert await answer_to(house, "agent-7") == "OK"
    assert await answer_to(house, "agent-7", case="case-3") == "APPROVAL_REQUIRED"
    house.clock.at += 119
    assert await answer_to(house, "agent-7", auth_time=house.clock()) == "OK"
    house.clock.at += 1
    assert await answer_to(house, "agent-7", auth_time=house.clock()) == "APPROVAL_REQUIRED"


async def test_a_customers_own_emergency_needs_nobody(house: AccessHarness) -> None:
    own = {"authorization": f"Bearer {house.issuer.token()}"}
    assert isinstance(await house.edge.decide(house.unlock(EMERGENCY, headers=own)), Allow)
    assert house.agents.told == []


async def test_owners_are_told_what_an_agent_asks_for_and_not_of_what_it_reads(house: AccessHarness) -> None:
    agent = bearer_of(house, "agent-7")
    assert isinstance(await house.edge.decide(house.request("status", headers=agent)), Allow)
    assert house.agents.told == []
    assert await answer_to(house, "agent-7", b'{"targetDoors":["all"]}') == "OK"
    approved(house, "agent-7")
    assert await answer_to(house, "agent-7") == "OK"
    assert [(act.vin, act.subject, act.agent, act.case, act.what) for act in house.agents.told] == [
        (VIN, "user-123", "agent-7", "case-1", "door.unlock"),
        (VIN, "user-123", "agent-7", "case-1", "door.unlock EMERGENCY"),
    ]


@pytest.mark.parametrize(("by", "case"), [("agent-7", "case-1"), ("user-123", "case-1"), ("agent-8", "")])
async def test_nobody_approves_their_own_emergency(house: AccessHarness, by: str, case: str) -> None:
    supervision = AgentSupervision(house.agents, lambda: datetime.fromtimestamp(house.clock(), UTC))
    with pytest.raises(NotAnotherAgentError):
        await supervision.approve_emergency(VIN, "user-123", case, approver=by, agent="agent-7")
    assert house.agents.approvals == []
