"""What a request for a command is answered, and what stands in its way."""

from __future__ import annotations

from typing import Any

import pytest
from ecarus.remotecontrol.door.v1 import door_command_pb2
from ecarus.remotecontrol.door.v1 import door_command_service_pb2 as rpc
from google.protobuf.json_format import ParseDict

from services.command.adapters import translate
from services.command.domain.commands import (
    AdvisoryState,
    CommandAction,
    DoorAction,
    Ending,
    FailureReason,
    Mode,
    Status,
)
from services.platform.storage import StorageUnavailableError
from tests.contract.command.conftest import START, VIN, CommandRpcHarness, as_json, refused


def test_the_specifications_requests_are_understood_and_printed_as_they_are() -> None:
    unlock = {"targetDoors": ["all"], "unlockMode": "NORMAL"}
    lock = {"targetDoors": ["all"], "lockMode": "SECURE"}
    cancel = {"correlationId": "uuid-12345678", "reason": "User cancellation", "force": False}
    parsed = ParseDict(unlock, door_command_pb2.DoorUnlock())
    assert translate.unlock_order(parsed) == DoorAction(CommandAction.UNLOCK, ("all",), Mode.NORMAL)
    assert as_json(parsed) == unlock
    parsed_lock = ParseDict(lock, door_command_pb2.DoorLock())
    assert translate.lock_order(parsed_lock) == DoorAction(CommandAction.LOCK, ("all",), Mode.SECURE)
    assert as_json(parsed_lock) == lock
    assert as_json(ParseDict(cancel, door_command_pb2.DoorCancellation())) == cancel


async def test_a_command_is_answered_with_202_its_place_and_the_specifications_document(
    service: CommandRpcHarness,
) -> None:
    call = service.unlock()
    answer = as_json(await call)
    command_id = answer.pop("commandId")
    assert answer == {
        "vin": VIN,
        "status": "PENDING",
        "message": "Command received; it is on its way to the vehicle.",
        "estimatedDuration": 5,
        "correlationId": "c-1",
        "timestamp": "2026-01-12T14:30:00Z",
    }
    headers = dict(await call.initial_metadata())
    assert headers["x-http-code"] == "202"
    assert headers["location"] == f"/api/v1/remotecontrol/vehicles/{VIN}/door/commands/{command_id}"
    document = {**answer, "commandId": command_id}
    assert as_json(ParseDict(document, door_command_pb2.DoorCommand())) == document


async def test_the_same_id_is_answered_again_and_another_body_is_422(service: CommandRpcHarness) -> None:
    first = await service.unlock()
    await service.vehicle_ends(
        first.command_id, Ending(Status.FAILED, service.now, "No.", FailureReason.ENGINE_ON)
    )
    call = service.unlock()
    assert await call == first
    assert dict(await call.initial_metadata())["x-http-code"] == "202"
    problem = await refused(service.unlock(body={"targetDoors": ["driver"]}))
    assert (problem["status"], problem["code"], problem["mayHaveSucceeded"]) == (
        422,
        "CORRELATION_ID_REUSED",
        False,
    )


async def test_a_second_command_is_told_of_the_first(service: CommandRpcHarness) -> None:
    first = await service.lock()
    problem = await refused(service.unlock("c-2"))
    assert (problem["status"], problem["code"], problem["commandId"], problem["retryable"]) == (
        409,
        "COMMAND_IN_PROGRESS",
        first.command_id,
        True,
    )


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        (AdvisoryState(START, open_doors=frozenset({"driver"})), "DOOR_OPEN"),
        (AdvisoryState(START, engine_on=True), "ENGINE_ON"),
        (AdvisoryState(START, speed_kmh=1.0), "VEHICLE_MOVING"),
    ],
)
async def test_what_stands_in_the_way_is_409(
    service: CommandRpcHarness, condition: AdvisoryState, code: str
) -> None:
    service.advisory_states[VIN] = condition
    call = service.lock(body={"targetDoors": ["all"], "lockMode": "SECURE"})
    problem = await refused(call)
    assert (problem["status"], problem["code"], problem["mayHaveSucceeded"]) == (409, code, False)
    assert (problem["retryable"], dict(await call.trailing_metadata())["retry-after"]) == (True, "5")
    assert (await service.history())["total"] == 0


async def test_the_first_answer_fits_a_vehicle_that_sleeps_and_names_the_correlation_id(
    service: CommandRpcHarness,
) -> None:
    awake = as_json(await service.unlock())
    assert (awake["correlationId"], awake["estimatedDuration"]) == ("c-1", 5)
    assert as_json(await service.cancel())["correlationId"] == "c-1"
    service.advisory_states[VIN] = AdvisoryState(START, asleep=True)
    first = as_json(await service.unlock("c-2"))
    assert (first["correlationId"], first["estimatedDuration"]) == ("c-2", 20)
    assert "sleeps" in first["message"]
    assert "sleeps" not in awake["message"]
    del service.advisory_states[VIN]
    assert as_json(await service.unlock("c-2")) == first


async def test_the_first_answer_fits_a_vehicle_that_is_lost_and_the_repeated_one_and_the_details_too(
    service: CommandRpcHarness,
) -> None:
    service.advisory_states[VIN] = AdvisoryState(START, lost=True)
    first = as_json(await service.unlock())
    assert first["estimatedDuration"] == 30  # as long as the command lives
    assert "not been heard of" in first["message"]
    del service.advisory_states[VIN]
    assert as_json(await service.unlock()) == first
    details = await service.details(first["commandId"])
    assert (details["message"], details["estimatedDuration"]) == (first["message"], 30)


async def test_the_first_answer_fits_a_vehicle_of_which_nothing_was_ever_heard(
    service: CommandRpcHarness,
) -> None:
    service.known.strangers.add(VIN)
    first = as_json(await service.unlock())
    assert first["estimatedDuration"] == 20
    assert "not known to be reachable" in first["message"]
    service.known.strangers.clear()
    assert as_json(await service.unlock()) == first
    details = await service.details(first["commandId"])
    assert (details["message"], details["estimatedDuration"]) == (first["message"], 20)


async def test_a_digital_key_does_not_cancel_the_owners_lock(service: CommandRpcHarness) -> None:
    owner, key = {"role": "OWNER"}, {"subject": "guest-9", "role": "DIGITAL_KEY"}
    await service.lock(**owner)
    problem = await refused(service.cancel(claims=key, force=True))
    assert (problem["status"], problem["code"]) == (403, "ACTION_NOT_GRANTED")
    assert problem["mayHaveSucceeded"] is False
    assert as_json(await service.cancel("x-2", claims=owner))["status"] == "CANCELLED"


async def test_two_agents_of_one_customer_get_one_command(service: CommandRpcHarness) -> None:
    first, second = [await service.unlock(actor=f"agent-{n}", source="CALL_CENTER") for n in (1, 2)]
    assert first.command_id == second.command_id
    document = await refused(service.unlock(subject="user-456", actor="agent-1"))
    assert document["code"] == "COMMAND_IN_PROGRESS"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"targetDoors": []}, "targetDoors"),
        ({"targetDoors": ["all", "driver"]}, "targetDoors"),
        ({"targetDoors": ["driver", "driver"]}, "targetDoors"),
        ({"targetDoors": ["hood"]}, "targetDoors[0]"),
        ({"targetDoors": ["all"], "unlockMode": 7}, "unlockMode"),
    ],
)
async def test_wrong_bodies_name_their_field(
    service: CommandRpcHarness, body: dict[str, Any], field: str
) -> None:
    problem = await refused(service.unlock(body=body))
    assert (problem["status"], problem["code"]) == (400, "INVALID_REQUEST")
    assert [violation["field"] for violation in problem["errors"]] == [field]


async def test_history_queries_have_bounds(service: CommandRpcHarness) -> None:
    for query in ({"limit": 0}, {"limit": 201}, {"offset": -1}, {"period": "2h"}, {"status": "PENDING"}):
        request = ParseDict({"vin": VIN, **query}, rpc.ListCommandHistoryRequest())
        problem = await refused(service.stub.ListCommandHistory(request, metadata=service.metadata("h-1")))
        assert problem["code"] == "INVALID_REQUEST"


async def test_without_the_action_nothing_happens(service: CommandRpcHarness) -> None:
    problem = await refused(service.unlock(actions=("door.lock",)))
    assert (problem["status"], problem["code"]) == (403, "ACTION_NOT_GRANTED")
    problem = await refused(service.unlock(vin="KMHSH81C7LU654321"))
    assert (problem["status"], problem["code"]) == (404, "VEHICLE_NOT_FOUND")
    assert service.dispatch.held == {}


async def test_a_store_that_is_away_is_503_and_no_command(
    service: CommandRpcHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_work: Any) -> None:
        raise StorageUnavailableError("disk full")

    monkeypatch.setattr(service.commands, "write", fail)
    problem = await refused(service.unlock())
    assert (problem["status"], problem["code"]) == (503, "STORAGE_UNAVAILABLE")
