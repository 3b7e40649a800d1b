"""Who may have webhooks, and what the service that sends them is told of their rights later."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2, vehicle_people_service_pb2
from ecarus.remotecontrol.access.v1.access_service_pb2_grpc import AccessServiceStub
from ecarus.remotecontrol.access.v1.vehicle_people_service_pb2_grpc import VehiclePeopleServiceStub

from services.notification.adapters.webhooks.rights import ReadingRightsClient
from services.notification.domain.webhooks import Registrant
from services.platform.times import EPOCH
from tests.contract.access.access_service import FOREIGN, UNKNOWN, VIN, CheckEdge, TokenIssuer, problem_in
from tests.contract.access.operator_calls import owner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

PATH = "/api/v1/remotecontrol/webhooks"
READS = "door.updates.read"


@pytest.fixture
async def sender(access: Any) -> AsyncIterator[Any]:
    """The channel of the service that sends webhooks."""
    service, _ = access
    async with service.channel("room/notification") as channel:
        yield channel


async def key(operator: Any, scopes: Sequence[str], vins: Sequence[str] = ()) -> tuple[str, str]:
    """A key of user-456's and its id."""
    request = access_service_pb2.IssueApiKeyRequest(
        principal="user-456", name="partner", valid_seconds=600, source="WEB", scopes=scopes, vins=vins
    )
    made = await operator.IssueApiKey(request, timeout=5)
    return made.key, made.api_key.key_id


async def test_a_person_and_a_key_made_for_it_may_have_webhooks(
    operators: Any, check: CheckEdge, token_issuer: TokenIssuer
) -> None:
    alice, _ = operators
    bearers = {
        "person": (token_issuer.token("user-456"), None),
        "narrowed to it": (token_issuer.token("user-456", scope="webhooks.read door.updates.read"), None),
        "narrowed to it and all reading": (
            token_issuer.token("user-456", scope="webhooks.read door.read"),
            None,
        ),
        "that may not read": (token_issuer.token("user-456", scope="webhooks.read"), "ACTION_NOT_GRANTED"),
        "that may do, not read": (
            token_issuer.token("user-456", scope="webhooks.read door.control"),
            "ACTION_NOT_GRANTED",
        ),
        "narrowed to another": (token_issuer.token("user-456", scope="door"), "ACTION_NOT_GRANTED"),
        "narrowed to a vehicle": (token_issuer.token("user-456", vin=FOREIGN), "ACTION_NOT_GRANTED"),
        "key": ((await key(alice, ["webhooks.read", "door.read"]))[0], None),
        "key of one vehicle": ((await key(alice, ["webhooks.read"], [FOREIGN]))[0], None),
        "key for other things": ((await key(alice, ["door.read"]))[0], "ACTION_NOT_GRANTED"),
    }
    for who, (bearer, expected) in bearers.items():
        answer = await check(PATH, method="GET", headers={"authorization": f"Bearer {bearer}"})
        assert (None if answer.HasField("ok_response") else problem_in(answer)["code"]) == expected, who
        other = await check(
            "/api/v1/remotecontrol/vehicles", method="GET", headers={"authorization": f"Bearer {bearer}"}
        )
        assert other.HasField("ok_response") == (who == "person"), who


async def test_later_a_key_is_asked_about_with_its_scope_its_vehicles_and_its_end(
    operators: Any, clerk: Any, sender: Any
) -> None:
    alice, _ = operators
    stub = AccessServiceStub(sender)
    await alice.CreateGrant(owner(grant_id="also", principal="user-456", vin=VIN), timeout=5)

    async def may(credential: str, vin: str = FOREIGN) -> bool:
        question = access_service_pb2.GrantQuestion(
            subject="user-456", actor="user-456", vin=vin, action=READS, credential=credential
        )
        asked = access_service_pb2.CheckGrantsRequest(questions=[question])
        return (await stub.CheckGrants(asked, timeout=5)).allowed[0]

    _, for_all = await key(alice, ["webhooks.write", "door.read"])
    _, for_one = await key(alice, ["webhooks.write", "door.read"], [FOREIGN])
    _, without_reading = await key(alice, ["webhooks.write"])
    assert (await may(for_all), await may(for_all, VIN)) == (True, True)
    assert (await may(for_one), await may(for_one, VIN)) == (True, False)
    assert not await may(without_reading)
    assert await may("")
    await clerk.RevokeApiKey(access_service_pb2.RevokeApiKeyRequest(key_id=for_all), timeout=5)
    assert not await may(for_all)


async def test_what_a_token_lacks_for_webhooks_is_said(check: CheckEdge, token_issuer: TokenIssuer) -> None:
    bearer = token_issuer.token("user-456", scope="webhooks.read webhooks.write")
    for method, path in (("GET", PATH), ("GET", f"{PATH}/spy/deliveries"), ("PUT", f"{PATH}/spy")):
        answer = await check(path, method=method, headers={"authorization": f"Bearer {bearer}"})
        problem = problem_in(answer)
        assert (problem["status"], problem["code"]) == (403, "ACTION_NOT_GRANTED"), (method, path)
        assert "door.updates.read" in problem["detail"]


async def test_rights_on_many_vehicles_are_asked_for_at_once(operators: Any, sender: Any) -> None:
    alice, _ = operators
    _, for_one = await key(alice, ["webhooks.write", "door.read"], [FOREIGN])
    _, without_reading = await key(alice, ["webhooks.write"])
    rights = ReadingRightsClient(sender, time.monotonic)
    others = [f"KMHSH81C7LU{number:06d}" for number in range(900_000, 900_600)]
    found = await rights.rights_on(Registrant("user-456"), [*others, VIN, FOREIGN])
    assert {vin: right.is_owner for vin, right in found.items()} == {FOREIGN: True}
    assert found[FOREIGN].since > EPOCH
    await alice.CreateGrant(owner(grant_id="also", principal="user-456", vin=VIN), timeout=5)
    assert set(await rights.rights_on(Registrant("user-456"), [VIN, FOREIGN])) == {VIN, FOREIGN}
    assert set(await rights.rights_on(Registrant("user-456", for_one), [VIN, FOREIGN])) == {FOREIGN}
    assert await rights.rights_on(Registrant("user-456", without_reading), [VIN, FOREIGN]) == {}
    assert await rights.rights_on(Registrant("user-456"), []) == {}


async def test_the_vehicles_of_a_person_are_those_of_grants_that_have_not_ended(
    operators: Any, sender: Any
) -> None:
    alice, _ = operators
    stub = VehiclePeopleServiceStub(sender)

    async def vins(after: str = "") -> list[str]:
        request = vehicle_people_service_pb2.ListVehiclesOfPersonRequest(principal="user-456", after=after)
        answer = await stub.ListVehiclesOfPerson(request, timeout=5)
        assert not answer.has_more
        return list(answer.vins)

    assert await vins() == [FOREIGN]
    await alice.CreateGrant(owner(grant_id="also", principal="user-456", vin=VIN), timeout=5)
    assert await vins() == [VIN, FOREIGN]
    assert await vins(after=VIN) == [FOREIGN]
    await alice.RevokeGrant(access_service_pb2.RevokeGrantRequest(grant_id="also"), timeout=5)
    assert await vins() == [FOREIGN]
    nobody = vehicle_people_service_pb2.ListVehiclesOfPersonRequest(principal=UNKNOWN)
    assert not (await stub.ListVehiclesOfPerson(nobody, timeout=5)).vins
