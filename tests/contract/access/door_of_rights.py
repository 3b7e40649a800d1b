"""The public door of rights as Envoy does it: asks whether somebody may, then calls with the capability."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.door.v1 import door_grant_service_pb2 as rpc
from ecarus.remotecontrol.door.v1 import door_update_pb2
from ecarus.remotecontrol.door.v1.door_grant_pb2 import DoorGrant, DoorGrantOffer, GrantKind, GrantState
from google.protobuf.json_format import MessageToJson

from services.access.adapters.routes import Routes
from services.platform.capability import METADATA_KEY
from tests.contract.access.access_service import VIN, CheckEdge, TokenIssuer, door, headers_of, problem_in

if TYPE_CHECKING:
    from ecarus.remotecontrol.door.v1.door_grant_service_pb2_grpc import DoorGrantServiceStub

KINDS, STATES = GrantKind, GrantState
"""What makes a token of a customer that of an agent who acts for them."""


class RefusedError(Exception):
    """The edge refused, with this problem."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(problem["code"])
        self.problem = problem


@dataclass
class DoorOfRights:
    """REST as Envoy does it: asks whether it may, then calls with the capability."""

    check: CheckEdge
    stub: DoorGrantServiceStub
    issuer: TokenIssuer

    async def ask(
        self, who: str, method: str, path: str, request: Any, *, body: Any = None, on: str = VIN, **more: Any
    ) -> Any:
        name = more.pop("id", "")
        if "act" in more:  # an agent's token is for the vehicle
            more["vin"] = on
        headers = {
            "authorization": f"Bearer {self.issuer.token(who, **more)}",
            "x-correlation-id": name or f"c-{id(request)}",
        }
        raw = b""
        if body is not None:
            headers["content-type"] = "application/json"
            raw = MessageToJson(body).encode() if hasattr(body, "DESCRIPTOR") else json.dumps(body).encode()
        answer = await self.check(door(path, on), method=method, headers=headers, raw_body=raw)
        if not answer.HasField("ok_response"):
            raise RefusedError(problem_in(answer))
        told = headers_of(answer.ok_response.headers)
        found = Routes().rest(door(path, on))
        assert found is not None
        rpc_name = type(request).__name__.removesuffix("Request")
        metadata = ((METADATA_KEY, told[METADATA_KEY]), ("x-correlation-id", headers["x-correlation-id"]))
        return await getattr(self.stub, rpc_name)(request, metadata=metadata, timeout=5)

    async def give(self, who: str = "user-123", *, vin: str = VIN, name: str = "", **offer: Any) -> DoorGrant:
        form = {"principal": "user-789", "kind": KINDS.DIGITAL_KEY, **offer}
        asked = DoorGrantOffer(**form)
        request = rpc.GiveGrantRequest(vin=vin, grant=asked)
        given: DoorGrant = await self.ask(who, "POST", "grants", request, body=asked, on=vin, id=name)
        return given

    async def do(self, verb: str, grant: DoorGrant, who: str = "user-123") -> DoorGrant:
        request = getattr(rpc, f"{verb.capitalize()}GrantRequest")(vin=VIN, grant_id=grant.grant_id)
        done: DoorGrant = await self.ask(who, "POST", f"grants/{grant.grant_id}/{verb}", request)
        return done

    async def accepted(self, **offer: Any) -> DoorGrant:
        given = await self.give(**offer)
        return await self.do("accept", given, given.principal)

    async def listed(self, who: str = "user-123") -> list[DoorGrant]:
        answer = await self.ask(who, "GET", "grants", rpc.ListGrantsRequest(vin=VIN))
        return list(answer.grants)

    async def may(self, who: str, action: str = "unlock") -> dict[str, Any] | None:
        """Nothing where they may, else the problem."""
        headers = {"authorization": f"Bearer {self.issuer.token(who)}", "content-type": "application/json"}
        bodies = dict.fromkeys(("unlock", "lock"), b'{"targetDoors":["all"]}') | {"diagnostics/check": b""}
        if action in bodies:
            answer = await self.check(door(action), method="POST", headers=headers, raw_body=bodies[action])
        else:
            del headers["content-type"]
            answer = await self.check(door(action), headers=headers)
        return None if answer.HasField("ok_response") else problem_in(answer)


def alerts(sent: list[Any]) -> list[door_update_pb2.DoorUpdate]:
    return [
        door_update_pb2.DoorUpdate.FromString(message.payload)
        for message in sent
        if message.subject == f"door.update.{VIN}"
    ]


def reason_of(caught: Any) -> str:
    details = dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
    return next(
        word
        for word in (
            "GRANT_NOT_FOUND",
            "GRANT_ENDED",
            "RATE_LIMITED",
            "TOO_MANY_GRANTS",
            "INVALID_REQUEST",
            "CORRELATION_ID_REUSED",
            "ACTION_NOT_GRANTED",
            "VEHICLE_NOT_FOUND",
            "GRANT_NOT_POSSIBLE",
        )
        if word.encode() in details
    )
