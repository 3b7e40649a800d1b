"""Which rights' ends the command service minds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ecarus.remotecontrol.access.v1 import grant_pb2

from protocol.subjects import GRANT_REVOKED_SUBJECT
from services.command.adapters.right_link import CommandRevocationHandler
from services.command.usecases.waiting import CommandWaits
from services.config.adapters.right_link import ConfigRevocationHandler


class Nothing:
    """What must not be asked."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


@pytest.mark.parametrize("customer", ["user-123", ""])
async def test_what_agents_asked_for_goes_on_when_their_case_is_closed(customer: str) -> None:
    told = grant_pb2.GrantRevoked(
        kind=grant_pb2.ENDED_RIGHT_CASE, principal=customer, case_number="case-1"
    ).SerializeToString()
    delivery: Any = SimpleNamespace(subject=GRANT_REVOKED_SUBJECT, data=told)
    nothing: Any = Nothing()
    assert (
        await CommandRevocationHandler(nothing, nothing, nothing, CommandWaits(nothing, 1, 1)).handle(
            [delivery]
        )
        == []
    )
    assert await ConfigRevocationHandler(nothing, nothing, nothing).handle([delivery]) == []
