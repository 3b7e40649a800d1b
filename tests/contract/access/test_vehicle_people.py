"""Who is to be told of what happens to a vehicle, as the notification service asks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2, grant_pb2
from ecarus.remotecontrol.access.v1 import vehicle_people_service_pb2 as contract
from ecarus.remotecontrol.access.v1.access_service_pb2_grpc import AccessServiceStub
from ecarus.remotecontrol.access.v1.vehicle_people_service_pb2_grpc import VehiclePeopleServiceStub

from tests.contract.access.access_service import UNKNOWN, VIN
from tests.contract.access.operator_calls import code_of, owner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def asking(access: Any) -> AsyncIterator[VehiclePeopleServiceStub]:
    service, _ = access
    async with service.channel("room/notification") as channel:
        yield VehiclePeopleServiceStub(channel)


async def people(stub: VehiclePeopleServiceStub, vin: str = VIN) -> dict[str, tuple[bool, bool, bool]]:
    answer = await stub.ListVehiclePeople(contract.ListVehiclePeopleRequest(vin=vin), timeout=5)
    return {
        each.principal: (each.is_owner, each.reads_status, each.reads_diagnostics) for each in answer.people
    }


async def test_they_are_those_with_a_right_at_this_moment(
    access: Any, asking: VehiclePeopleServiceStub, operators: tuple[Any, Any]
) -> None:
    alice, _ = operators
    roles = {
        "sharer": grant_pb2.GRANT_ROLE_SHARED_USER,
        "keyholder": grant_pb2.GRANT_ROLE_DIGITAL_KEY,
        "second": grant_pb2.GRANT_ROLE_OWNER,
    }
    for name, role in roles.items():
        await alice.CreateGrant(owner(grant_id=name, principal=name, vin=VIN, role=role), timeout=5)
    assert await people(asking) == {
        "user-123": (True, True, True),
        "second": (True, True, True),
        "sharer": (False, True, False),
        "keyholder": (False, True, False),
    }
    assert list(await people(asking))[:2] == ["second", "user-123"]

    await alice.RevokeGrant(access_service_pb2.RevokeGrantRequest(grant_id="sharer"), timeout=5)
    lock = access_service_pb2.LockAccountRequest(principal="second", reason="stolen")
    service, _ = access
    async with service.channel("operator") as channel:
        await AccessServiceStub(channel).LockAccount(lock, timeout=5)
    left = await people(asking)
    assert "sharer" not in left
    # They are told that their account is locked, and of nothing that they may not look at.
    assert left["second"] == (True, False, False)


async def test_nobody_has_a_right_on_a_vehicle_that_is_not_known(asking: VehiclePeopleServiceStub) -> None:
    assert await people(asking, UNKNOWN) == {}
    bad = asking.ListVehiclePeople(contract.ListVehiclePeopleRequest(vin="x"), timeout=5)
    assert await code_of(bad) is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("workload", ["edge", "room/status", "team/operator", f"vehicle/{VIN}"])
async def test_nobody_else_asks(access: Any, workload: str) -> None:
    service, _ = access
    async with service.channel(workload) as channel:
        call = VehiclePeopleServiceStub(channel).ListVehiclePeople(
            contract.ListVehiclePeopleRequest(vin=VIN), timeout=5
        )
        assert await code_of(call) is grpc.StatusCode.PERMISSION_DENIED
