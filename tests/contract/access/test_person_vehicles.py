"""Which vehicles a person has, as Envoy and their app ask for them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2_grpc
from ecarus.remotecontrol.door.v1 import person_vehicle_service_pb2 as rpc
from ecarus.remotecontrol.door.v1.person_vehicle_service_pb2_grpc import PersonVehicleServiceStub
from google.protobuf.json_format import MessageToDict

from services.access.adapters.published_key import PUBLISHED_KEY
from services.access.domain.grants import Grant, GrantRole, NewGrant
from services.access.domain.person_vehicles import MOST_VEHICLES, vehicles_of
from services.access.usecases.person_vehicles import PersonVehicles
from services.platform.capability import METADATA_KEY
from tests.contract.access.access_service import VIN, CheckEdge, TokenIssuer, acting, headers_of, problem_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATH = "/api/v1/remotecontrol/vehicles"
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


class People:
    """REST as Envoy does it, for whoever is signed in."""

    def __init__(self, channel: Any, check: CheckEdge, issuer: TokenIssuer) -> None:
        self.access = access_service_pb2_grpc.AccessServiceStub(channel)
        self._stub = PersonVehicleServiceStub(channel)
        self._check = check
        self._issuer = issuer

    async def capability(self, who: str = "user-123", bearer: str = "", **claims: Any) -> Any:
        headers = {"authorization": f"Bearer {bearer or self._issuer.token(who, **claims)}"}
        return await self._check(PATH, method="GET", headers=headers)

    async def vehicles(self, who: str = "user-123", **claims: Any) -> list[dict[str, Any]]:
        answer = await self.capability(who, **claims)
        assert answer.HasField("ok_response"), problem_in(answer)
        capability = headers_of(answer.ok_response.headers)[METADATA_KEY]
        metadata = ((METADATA_KEY, capability), ("x-correlation-id", "c"))
        told = await self._stub.ListVehicles(rpc.ListVehiclesRequest(), metadata=metadata, timeout=5)
        assert not told.has_more
        return [MessageToDict(each) for each in told.vehicles]


@pytest.fixture
async def people(access: Any, check: CheckEdge, token_issuer: TokenIssuer) -> AsyncIterator[People]:
    service, _ = access
    async with service.channel("edge") as channel:
        yield People(channel, check, token_issuer)


async def test_an_owner_is_told_of_their_own_and_of_nobody_else_s(people: People) -> None:
    mine = await people.vehicles()
    assert VIN in [each["vin"] for each in mine]
    assert {each["role"] for each in mine} == {"OWNER"}
    assert all({"door.unlock", "door.grants.write"} <= set(each["actions"]) for each in mine)
    theirs = await people.vehicles("user-456")
    assert {each["vin"] for each in theirs}.isdisjoint(each["vin"] for each in mine)
    assert await people.vehicles("somebody") == []


async def test_it_is_the_person_s_own_question(people: People) -> None:
    for answer in (
        await people.capability(**acting("agent-7")),
        await people.capability(bearer=PUBLISHED_KEY),
        await people.capability(scope="door"),
        await people.capability(vin=VIN),
    ):
        told = problem_in(answer)
        assert (told["status"], told["code"]) == (403, "ACTION_NOT_GRANTED")
    for scope in ("person", "person.vehicles.read"):
        assert await people.vehicles(scope=scope)


def grant(vin: str, role: GrantRole = GrantRole.OWNER, **changed: Any) -> Grant:
    asked = NewGrant(f"grant-{vin}-{role.value}", "user-123", vin, role)
    return Grant(asked, created_at=NOW - timedelta(days=1), **changed)


def test_of_several_rights_on_one_vehicle_the_highest_is_told() -> None:
    both = [grant("B" * 17, GrantRole.DIGITAL_KEY), grant("B" * 17, GrantRole.SHARED_USER), grant("A" * 17)]
    told = vehicles_of(both, NOW)
    assert [(each.vin[0], each.role) for each in told] == [
        ("A", GrantRole.OWNER),
        ("B", GrantRole.SHARED_USER),
    ]


def test_what_is_over_or_only_offered_is_no_vehicle_of_theirs() -> None:
    over = grant("A" * 17, expires_at=NOW - timedelta(seconds=1))
    offered = grant("B" * 17, offered_until=NOW + timedelta(days=1))
    revoked = grant("C" * 17, revoked_at=NOW - timedelta(hours=1))
    assert vehicles_of([over, offered, revoked], NOW) == []


async def test_a_fleet_is_told_as_far_as_a_list_goes() -> None:
    class Fleet:
        async def unended(self, _person: str, *, at: datetime) -> list[Grant]:
            assert at == NOW
            return [grant(f"{number:017}") for number in range(MOST_VEHICLES + 1)]

    found, has_more = await PersonVehicles(Fleet(), lambda: NOW).listed("user-123")
    assert (len(found), has_more) == (MOST_VEHICLES, True)
