"""How tests of admissions ask."""

from __future__ import annotations

from typing import Any

from services.access.admission import Admitted, Denied, EdgeRequest

VIN = "KMHSH81C7LU123456"


FOREIGN = "KMHSH81C7LU654321"


async def admitted(house: Any, request: EdgeRequest) -> Admitted:
    made = await house.admission.decide(request)
    assert isinstance(made, Admitted), made
    return made


async def denied(house: Any, request: EdgeRequest, code: str) -> Denied:
    made = await house.admission.decide(request)
    assert isinstance(made, Denied), made
    assert made.refusal.reason.code == code
    return made
