"""REST requests as the tests of how they are read make them."""

from __future__ import annotations

from typing import Any

import pytest

from services.access.adapters import rest_request
from services.access.adapters.routes import Route, Routes
from services.platform.errors import Refusal

VIN = "KMHSH81C7LU123456"
_ROUTES = Routes()


def route(name: str, method: str) -> Route:
    found = _ROUTES.rest(f"/api/v1/remotecontrol/vehicles/{VIN}/door/{name}")
    assert found is not None
    return found[1][method]


UNLOCK, CONFIG, CANCEL = route("unlock", "POST"), route("config", "PUT"), route("cancel", "POST")
HISTORY = route("history", "GET")


def check(
    where: Route, body: bytes | str = b"", *, query: str = "", content_type: str | None = "application/json"
) -> None:
    raw = body.encode() if isinstance(body, str) else body
    rest_request.check(where, query=query, content_type=content_type, body=raw, vin=VIN)


def refused(where: Route, body: bytes | str = b"", **others: Any) -> tuple[str, list[str]]:
    with pytest.raises(Refusal) as caught:
        check(where, body, **others)
    return caught.value.reason.code, [violation.field for violation in caught.value.violations]
