"""How tests of admissions ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.access.adapters.authorizer import Allow, Deny

if TYPE_CHECKING:
    from services.access.adapters.edge_requests import EdgeRequest

VIN = "KMHSH81C7LU123456"


FOREIGN = "KMHSH81C7LU654321"


async def admitted(house: Any, request: EdgeRequest) -> Allow:
    made = await house.edge.decide(request)
    assert isinstance(made, Allow), made
    return made


async def denied(house: Any, request: EdgeRequest, code: str) -> Deny:
    made = await house.edge.decide(request)
    assert isinstance(made, Deny), made
    assert made.refusal.reason.code == code
    return made
