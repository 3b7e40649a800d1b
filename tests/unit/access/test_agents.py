"""Agents of a call centre: what they may never do, and what is known of them behind."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from services.access.adapters.authorizer import Allow, Deny
from services.access.domain import step_up
from services.access.domain.agents import is_closed_to
from services.access.domain.grants import Caller, Source
from tests.unit.access.conftest import acting

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
