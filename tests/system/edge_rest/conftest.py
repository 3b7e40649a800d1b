"""A client of the edge's REST port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest_asyncio

from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.system.edge_harness import EdgeHarness


GOOD = {"authorization": "Bearer good"}


UNLOCK = {"targetDoors": ["all"]}


MEMBERS = {"type", "title", "status", "detail", "code", "correlationId", "retryable"}


@pytest_asyncio.fixture(loop_scope="module")
async def client(edge: EdgeHarness) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=edge.http, verify=NO_TLS, trust_env=False, timeout=30) as session:
        yield session


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    document: dict[str, object] = answer.json()
    assert answer.status_code == status, document
    assert answer.headers["content-type"] == "application/problem+json"
    assert document["code"] == code
    assert document["status"] == status
    assert document.keys() >= MEMBERS
    assert document["correlationId"] == answer.headers["x-correlation-id"]
    return document
