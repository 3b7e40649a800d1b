"""What a vehicle's model lacks is refused before anything is sent, and stands in the history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.access.v1 import wake_up_service_pb2 as wake_ups
from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2

from services.command.adapters.vehicle_translate import _ending
from services.command.adapters.wake_up_server import WakeUpServicer
from services.command.domain.commands import AdvisoryState, FailureReason, Status
from services.command.usecases.vehicle_reports import count_wake_up
from services.vehicle_models.catalogue import VehicleModels
from tests.contract.command.conftest import START, CommandRpcHarness, as_json, refused
from tests.support.vehicle_models import COUPE, MODELS, SEDAN, VAN

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_door_that_the_model_lacks_is_refused_with_those_that_there_are(
    service: CommandRpcHarness,
) -> None:
    service.vin = COUPE
    problem = await refused(service.lock(body={"targetDoors": ["driver", "rearLeft", "rearRight"]}))
    assert (problem["status"], problem["code"], problem["mayHaveSucceeded"]) == (
        400,
        "INVALID_REQUEST",
        False,
    )
    assert problem["errors"] == [
        {"field": "targetDoors[1]", "reason": "this vehicle has no rearLeft"},
        {"field": "targetDoors[2]", "reason": "this vehicle has no rearRight"},
    ]
    assert "driver, passenger, trunk" in problem["detail"]
    assert await service.commands.in_flight(service.vin) is None
    unlocked = await refused(service.unlock("c-2", body={"targetDoors": ["rearLeft"]}))
    assert (
        "It takes orders for driver, passenger;" in unlocked["detail"]
    )  # the trunk opens with the key alone


@pytest.mark.parametrize(
    ("vin", "method", "body", "function"),
    [
        (VAN, "unlock", {"targetDoors": ["all"]}, "REMOTE_UNLOCK"),
        (VAN, "unlock", {"targetDoors": ["driver"], "unlockMode": "EMERGENCY"}, "REMOTE_UNLOCK"),
        (VAN, "lock", {"targetDoors": ["all"], "lockMode": "SECURE"}, "SECURE_LOCK"),
        (COUPE, "unlock", {"targetDoors": ["trunk"]}, "TRUNK_RELEASE"),
        (COUPE, "unlock", {"targetDoors": ["driver", "trunk"]}, "TRUNK_RELEASE"),
    ],
)
async def test_a_function_that_the_model_lacks_is_refused_and_named(
    service: CommandRpcHarness, vin: str, method: str, body: dict[str, Any], function: str
) -> None:
    service.vin = vin
    problem = await refused(getattr(service, method)(body=body))
    assert (problem["status"], problem["code"]) == (409, "FUNCTION_NOT_AVAILABLE")
    assert (problem["function"], problem["retryable"], problem["mayHaveSucceeded"]) == (
        function,
        False,
        False,
    )
    assert await service.commands.in_flight(service.vin) is None
    await service.refused.flush()
    (entry,) = (await service.history())["history"]
    assert (entry["status"], entry["failureReason"]) == ("FAILED", "NOT_SUPPORTED")
    assert entry["targetDoors"] == body["targetDoors"]


@pytest.mark.parametrize(
    ("vin", "method", "body"),
    [
        (COUPE, "unlock", {"targetDoors": ["all"]}),
        (COUPE, "lock", {"targetDoors": ["driver", "trunk"]}),
        (VAN, "lock", {"targetDoors": ["all"]}),
        (SEDAN, "unlock", {"targetDoors": ["rearLeft", "trunk"], "unlockMode": "EMERGENCY"}),
        ("1M8GDM9AXKP042788", "unlock", {"targetDoors": ["rearLeft"]}),  # nobody knows its model
    ],
)
async def test_what_the_model_has_is_accepted(
    service: CommandRpcHarness, vin: str, method: str, body: dict[str, Any]
) -> None:
    service.vin = vin
    assert as_json(await getattr(service, method)(body=body))["status"] == "PENDING"


async def test_what_was_accepted_is_answered_again_though_the_model_says_otherwise_now(
    service: CommandRpcHarness, tmp_path: Path
) -> None:
    first = as_json(await service.unlock())
    (tmp_path / "a.toml").write_text(
        f'name = "A"\n[match]\nvins = ["{service.vin}"]\n[doors.driver]\n[commands]\nunlock_modes = []\n',
        encoding="utf-8",
    )
    service.models.__init__(tmp_path)  # type: ignore[misc]  # the folder is another now
    assert as_json(await service.unlock()) == first
    assert (await refused(service.unlock("c-2")))["code"] == "FUNCTION_NOT_AVAILABLE"


def test_a_result_says_nothing_of_doors_that_the_model_lacks() -> None:
    result = report_pb2.CommandResult(outcome=report_pb2.COMMAND_OUTCOME_SUCCEEDED)
    for door in (body_pb2.DOOR_ID_DRIVER, body_pb2.DOOR_ID_REAR_LEFT):
        result.doors.add(door=door, succeeded=True, locked=False)
    ending = _ending(result, START, VehicleModels(MODELS).of(COUPE).door_ids)
    assert ending.status is Status.SUCCESS
    assert [each.door_id for each in ending.door_results] == ["driver"]
    assert "rearLeft" not in ending.message


async def test_the_next_wake_up_is_when_the_budget_allows_it(service: CommandRpcHarness) -> None:
    async def next_at(subject: str = "user-123", *, by_owner: bool = True) -> float:
        request = wake_ups.GetNextWakeUpRequest(vin=SEDAN, subject=subject, by_owner=by_owner)
        answer = await WakeUpServicer(service.deps).GetNextWakeUp(request, None)  # type: ignore[arg-type]  # not used
        return answer.at.ToDatetime(tzinfo=START.tzinfo).timestamp() - START.timestamp()

    assert await next_at() == 0
    command_id = as_json(await service.unlock())["commandId"]
    assert await count_wake_up(service.deps, command_id)
    assert await next_at() == 15
    assert await next_at("user-456", by_owner=False) == 15


@pytest.mark.parametrize("method", ["unlock", "lock"])
async def test_while_remote_access_is_off_in_the_vehicle_every_command_is_refused_at_once(
    service: CommandRpcHarness, method: str
) -> None:
    service.advisory_states[service.vin] = AdvisoryState(START, remote_access_disabled=True)
    problem = await refused(getattr(service, method)())
    assert (problem["status"], problem["code"]) == (409, "REMOTE_ACCESS_DISABLED")
    assert (problem["retryable"], problem["mayHaveSucceeded"]) == (True, False)
    await service.refused.flush()
    (entry,) = (await service.history())["history"]
    assert (entry["status"], entry["failureReason"]) == ("FAILED", "REMOTE_ACCESS_DISABLED")


def test_a_vehicle_that_refuses_for_it_says_so() -> None:
    fault = report_pb2.FAULT_CODE_REMOTE_ACCESS_DISABLED
    result = report_pb2.CommandResult(outcome=report_pb2.COMMAND_OUTCOME_REFUSED, fault=fault)
    ending = _ending(result, START, ())
    assert (ending.status, ending.failure_reason) == (Status.FAILED, FailureReason.REMOTE_ACCESS_DISABLED)
    assert ending.may_have_succeeded is False
