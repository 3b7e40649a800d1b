"""REST about a person's own data, as Envoy does it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.door.v1 import personal_data_pb2
from ecarus.remotecontrol.door.v1 import personal_data_service_pb2 as rpc
from ecarus.remotecontrol.door.v1.personal_data_service_pb2_grpc import PersonalDataServiceStub

from services.platform.capability import METADATA_KEY
from tests.contract.access.access_service import (
    CheckEdge,
    TokenIssuer,
    headers_of,
    problem_in,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


BASE = "/api/v1/remotecontrol/data"
EXPORTS, ERASURES = personal_data_pb2.DataExportState, personal_data_pb2.ErasureState
WISH = personal_data_pb2.ErasureWish(confirmation="ERASE MY DATA")
PATHS = {
    "RequestDataExport": ("POST", "exports"),
    "GetDataExport": ("GET", "exports/{export_id}"),
    "StreamDataExport": ("GET", "exports/{export_id}/file"),
    "RequestErasure": ("POST", "erasures"),
    "GetErasure": ("GET", "erasures/{erasure_id}"),
    "CancelErasure": ("POST", "erasures/{erasure_id}/cancel"),
}


@dataclass
class Person:
    """REST as Envoy does it, for whoever is signed in."""

    check: CheckEdge
    stub: PersonalDataServiceStub
    issuer: TokenIssuer

    async def admitted(self, request: Any, who: str = "user-123", bearer: str = "", **claims: Any) -> Any:
        name = type(request).__name__.removesuffix("Request")
        method, path = PATHS[name]
        ids = {field.name: value for field, value in request.ListFields() if isinstance(value, str)}
        headers = {"authorization": f"Bearer {bearer or self.issuer.token(who, **claims)}"}
        body: dict[str, Any] = {}
        if name == "RequestErasure":
            headers["content-type"] = "application/json"
            body["raw_body"] = json.dumps({"confirmation": request.wish.confirmation}).encode()
        return await self.check(f"{BASE}/{path.format(**ids)}", method=method, headers=headers, **body)

    async def ask(self, request: Any, who: str = "user-123", **claims: Any) -> Any:
        answer = await self.admitted(request, who, **claims)
        assert answer.HasField("ok_response"), problem_in(answer)
        token = headers_of(answer.ok_response.headers)[METADATA_KEY]
        metadata = ((METADATA_KEY, token), ("x-correlation-id", "c"))
        method = getattr(self.stub, type(request).__name__.removesuffix("Request"))
        if isinstance(request, rpc.StreamDataExportRequest):
            pieces = [piece.data async for piece in method(request, metadata=metadata, timeout=20)]
            return json.loads(b"".join(pieces))
        return await method(request, metadata=metadata, timeout=20)

    async def stalled(self, export_id: str, who: str) -> Any:
        """Begin to fetch a file, and read no more of it than its first piece."""
        request = rpc.StreamDataExportRequest(export_id=export_id)
        answer = await self.admitted(request, who)
        token = headers_of(answer.ok_response.headers)[METADATA_KEY]
        call = self.stub.StreamDataExport(
            request, metadata=((METADATA_KEY, token), ("x-correlation-id", "c"))
        )
        await call.read()
        return call

    async def file(self, who: str = "user-123") -> Any:
        export = await self.ask(rpc.RequestDataExportRequest(), who)
        return await self.ask(rpc.StreamDataExportRequest(export_id=export.export_id), who)

    async def erasure(self, erasure_id: str, who: str = "user-123") -> Any:
        return await self.ask(rpc.GetErasureRequest(erasure_id=erasure_id), who)


@pytest.fixture
async def person(access: Any, check: CheckEdge, token_issuer: TokenIssuer) -> AsyncIterator[Person]:
    service, _ = access
    async with service.channel("edge") as channel:
        yield Person(check, PersonalDataServiceStub(channel), token_issuer)
