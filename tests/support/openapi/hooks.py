"""What schemathesis is told besides its settings: who asks for what, and a check of ours on every answer."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import schemathesis

from tests.support.described_answers import fault_of

if TYPE_CHECKING:
    from schemathesis import AuthContext, Case, CheckContext, Response

ACCEPTED = "SCHEMATHESIS_ACCEPTED"
"""The variable with the file to which the name of each operation is added that was answered with success."""
BEARERS = "SCHEMATHESIS_BEARERS"
"""The variable with a JSON object: the bearer of each operation by its id, and of all others under `default`."""
_REFUSED = 300


@cache
def _bearers() -> dict[str, str]:
    read: dict[str, str] = json.loads(os.environ[BEARERS])
    return read


@schemathesis.auth(refresh_interval=None)
class OperationAuth:
    """Whoever may do it: what ends somebody's world is asked for by somebody with a world of their own."""

    def get(self, case: Case, _: AuthContext) -> str:
        name = case.operation.definition.raw.get("operationId", "")
        return _bearers().get(name, _bearers()["default"])

    def set(self, case: Case, data: str, _: AuthContext) -> None:
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


@schemathesis.check
def is_as_described(_: CheckContext, response: Response, case: Case) -> bool | None:
    """Nothing that this very operation does not name: status, code, content type, member, header. `default` excuses
    none.
    """
    request = response.request
    if response.status_code < _REFUSED:
        with Path(os.environ[ACCEPTED]).open("a", encoding="utf-8") as file:
            file.write(f"{case.operation.definition.raw['operationId']}\n")
    answer = httpx.Response(
        response.status_code,
        headers=[(name, value) for name, values in response.headers.items() for value in _as_list(values)],
        content=response.content,
        request=httpx.Request(request.method or "", request.url or ""),
    )
    if request.method == case.operation.method.upper() and (fault := fault_of(answer)) is not None:
        raise AssertionError(f"not as the OpenAPI document says: {fault}")
    return None


def _as_list(values: Any) -> list[str]:
    return [values] if isinstance(values, str) else list(values)
