"""What is told of a command: its life, its cancellation, and the history."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ecarus.remotecontrol.door.v1 import door_command_service_pb2 as rpc
from google.protobuf.json_format import ParseDict

from services.command.domain.commands import AdvisoryState, DoorResult, Ending, FailureReason, Status
from services.command.domain.reports import CommandReceipt
from services.command.usecases import requests as usecases
from services.command.usecases.vehicle_reports import ingest_messages
from tests.contract.command.conftest import VIN, CommandRpcHarness, as_json, refused
from tests.support.command_store_harness import admitted


async def test_the_history_is_the_specifications_with_a_null(service: CommandRpcHarness) -> None:
    command_id = (await service.unlock()).command_id
    service.now += timedelta(seconds=2.5)
    doors = (DoorResult("driver", success=True, locked=False),)
    await service.vehicle_ends(command_id, Ending(Status.SUCCESS, service.now, "Done.", door_results=doors))
    assert await service.history() == {
        "vin": VIN,
        "history": [
            {
                "commandId": command_id,
                "action": "UNLOCK",
                "targetDoors": ["all"],
                "status": "SUCCESS",
                "timestamp": "2026-01-12T14:30:00Z",
                "executionTime": 2.5,
                "userId": "user-123",
                "source": "MOBILE_APP",
                "failureReason": None,
                "correlationId": "c-1",
                "doorResults": [{"doorId": "driver", "success": True, "locked": False}],
            }
        ],
        "total": 1,
        "hasMore": False,
        "asOf": "2026-01-12T14:30:02.500Z",
    }


async def test_a_life_is_told_stage_by_stage(service: CommandRpcHarness) -> None:
    command_id = (await service.unlock(actor="agent-7", source="CALL_CENTER")).command_id
    service.dispatch.leave()
    service.now += timedelta(seconds=1)
    await ingest_messages(service.deps, admitted(CommandReceipt("m-0", VIN, command_id, service.now)))
    assert (await service.details(command_id))["status"] == "IN_PROGRESS"
    service.now += timedelta(seconds=1)
    doors = (
        DoorResult("driver", success=True, locked=False),
        DoorResult("trunk", success=False, locked=True, failure_reason=FailureReason.ACTUATOR_FAULT),
    )
    ending = Ending(
        Status.FAILED, service.now, "Some.", FailureReason.PARTIAL_SUCCESS, "Look.", door_results=doors
    )
    await service.vehicle_ends(command_id, ending)
    told = await service.details(command_id)
    assert [stage["name"] for stage in told["stages"]] == [
        "ACCEPTED",
        "QUEUED",
        "SENT",
        "RECEIVED",
        "FINISHED",
    ]
    assert (told["status"], told["failureReason"], told["guidance"], told["executionTime"]) == (
        "FAILED",
        "PARTIAL_SUCCESS",
        "Look.",
        2.0,
    )
    assert told["doorResults"] == [
        {"doorId": "driver", "success": True, "locked": False},
        {"doorId": "trunk", "success": False, "locked": True, "failureReason": "ACTUATOR_FAULT"},
    ]
    assert (told["correlationId"], told["source"], told["expiresAt"]) == (
        "c-1",
        "CALL_CENTER",
        "2026-01-12T14:30:30Z",
    )
    [entry] = (await service.history())["history"]
    assert (entry["userId"], entry["actorId"], entry["failureReason"]) == (
        "user-123",
        "agent-7",
        "PARTIAL_SUCCESS",
    )


async def test_a_new_right_sees_nothing_from_before_it_and_a_guest_only_their_own(
    service: CommandRpcHarness,
) -> None:
    command_id = (await service.unlock(role="OWNER")).command_id
    await service.cancel(claims={"role": "OWNER"})
    later = (service.now + timedelta(seconds=1)).timestamp()
    assert (await service.history({"role": "OWNER"}))["total"] == 2
    for claims in (
        {"role": "OWNER", "since": later},
        {"subject": "guest-9", "role": "DIGITAL_KEY", "since": 0},
        {"subject": "guest-9", "role": "SHARED_USER", "since": 0},
        {"subject": "guest-9"},
        {"subject": "guest-9", "role": "LANDLORD"},
    ):
        assert (await service.history(claims))["total"] == 0
    assert (await service.details(command_id, subject="guest-9", role="DIGITAL_KEY"))["status"] == "CANCELLED"
    problem = await refused(service.details(command_id, subject="guest-9", role="DIGITAL_KEY", since=later))
    assert problem["code"] == "COMMAND_NOT_FOUND"


async def test_without_consent_no_history_is_collected_and_the_answer_says_so(
    service: CommandRpcHarness,
) -> None:
    withdrawn = {"unrecorded": 1_768_228_100.25}
    agents = {**withdrawn, "actor": "agent-7", "source": "CALL_CENTER"}
    service.advisory_states[VIN] = AdvisoryState(service.now, open_doors=frozenset({"trunk"}))
    assert (await refused(service.lock("c-0", **withdrawn)))["code"] == "DOOR_OPEN"
    del service.advisory_states[VIN]
    await service.refused.flush()
    command_id = (await service.unlock("c-1", **agents)).command_id
    assert (await service.unlock("c-1", **agents)).command_id == command_id  # its life does not depend on it
    await service.cancel("x-1", "c-1", claims=agents)
    assert (await service.details(command_id))["status"] == "CANCELLED"

    listed = await service.history({**withdrawn, "role": "OWNER"})
    assert (listed["history"], listed["total"]) == ([], 0)
    assert listed["collection"].pop("detail").startswith("Your own requests are not collected")
    assert listed["collection"] == {"collected": False, "since": "2026-01-12T14:28:20.250Z"}
    never = await service.history({"unrecorded": 0})
    assert "since" not in never["collection"]
    assert "collection" not in await service.history({"role": "OWNER"})


async def test_what_was_asked_before_the_consent_was_withdrawn_is_listed_when_it_ends(
    service: CommandRpcHarness,
) -> None:
    command_id = (await service.unlock("c-1")).command_id
    withdrawn = {"unrecorded": service.now.timestamp()}
    await service.cancel("x-1", "c-1", claims=withdrawn)
    listed = await service.history({**withdrawn, "role": "OWNER"})
    assert [(e["commandId"], e["action"], e["status"]) for e in listed["history"]] == [
        (command_id, "UNLOCK", "CANCELLED")
    ]


async def test_a_cancellation_before_dispatch_is_final_and_repeats(service: CommandRpcHarness) -> None:
    command = await service.unlock()
    call = service.cancel()
    answer = await call
    assert as_json(answer)["status"] == "CANCELLED"
    assert dict(await call.initial_metadata())["location"].endswith(command.command_id)
    assert await service.cancel() == answer
    problem = await refused(service.cancel(force=True))
    assert problem["code"] == "CORRELATION_ID_REUSED"
    problem = await refused(service.cancel("x-2"))
    assert (problem["status"], problem["code"], problem["commandId"]) == (
        409,
        "COMMAND_ALREADY_FINISHED",
        command.command_id,
    )
    stages = [stage["name"] for stage in (await service.details(command.command_id))["stages"]]
    assert stages == ["ACCEPTED", "QUEUED", "FINISHED"]


async def test_a_cancellation_after_dispatch_is_the_vehicles_and_repeats_its_first_answer(
    service: CommandRpcHarness,
) -> None:
    command = await service.unlock()
    service.dispatch.leave()
    answer = await service.cancel()
    assert (answer.command_id, as_json(answer)["status"]) == (command.command_id, "PENDING")
    await service.vehicle_ends(command.command_id, Ending(Status.CANCELLED, service.now, "Will not act."))
    assert await service.cancel() == answer


async def test_unknown_commands_are_404(service: CommandRpcHarness) -> None:
    assert (await refused(service.cancel()))["code"] == "COMMAND_NOT_FOUND"
    request = rpc.GetCommandRequest(vin=VIN, command_id="cmd-x")
    problem = await refused(service.stub.GetCommand(request, metadata=service.metadata("g-1")))
    assert (problem["status"], problem["code"], problem["instance"]) == (404, "COMMAND_NOT_FOUND", "/door")


async def test_a_timeout_tells_whether_it_may_have_acted_and_a_late_result_is_shown(
    service: CommandRpcHarness,
) -> None:
    command_id = (await service.unlock()).command_id
    service.dispatch.leave()
    service.now += timedelta(seconds=30)
    await usecases.time_out_overdue(service.deps)
    told = await service.details(command_id)
    assert (told["status"], told["failureReason"], told["mayHaveSucceeded"]) == (
        "TIMEOUT",
        "TTL_EXPIRED",
        True,
    )
    doors = (DoorResult("driver", success=True, locked=False),)
    await service.vehicle_ends(command_id, Ending(Status.SUCCESS, service.now, "Done.", door_results=doors))
    told = await service.details(command_id)
    assert (told["status"], told["lateResult"]) == (
        "TIMEOUT",
        {
            "status": "SUCCESS",
            "receivedAt": "2026-01-12T14:30:30Z",
            "doorResults": [{"doorId": "driver", "success": True, "locked": False}],
        },
    )
    [entry] = (await service.history())["history"]
    assert (entry["status"], entry["lateResult"]) == ("TIMEOUT", told["lateResult"])


async def test_a_lock_takes_the_place_of_an_unlock(service: CommandRpcHarness) -> None:
    first = await service.unlock()
    second = await service.lock("c-2")
    assert second.command_id != first.command_id
    told = await service.details(first.command_id)
    assert (told["status"], told["failureReason"], told["mayHaveSucceeded"]) == (
        "CANCELLED",
        "SUPERSEDED",
        False,
    )
    [entry] = (await service.history())["history"]
    assert (entry["status"], entry["failureReason"]) == ("CANCELLED", "SUPERSEDED")


async def test_refused_requests_are_listed_and_pages_follow_each_other_by_token(
    service: CommandRpcHarness,
) -> None:
    service.advisory_states[VIN] = AdvisoryState(service.now, open_doors=frozenset({"trunk"}))
    assert (await refused(service.lock("c-0")))["code"] == "DOOR_OPEN"
    del service.advisory_states[VIN]
    service.now += timedelta(seconds=1)
    command_id = (await service.unlock("c-1")).command_id
    assert (await refused(service.unlock("c-2")))["code"] == "COMMAND_IN_PROGRESS"
    await service.vehicle_ends(command_id, Ending(Status.FAILED, service.now, "No.", FailureReason.ENGINE_ON))
    assert (await refused(service.cancel("x-1", "c-1")))["code"] == "COMMAND_ALREADY_FINISHED"
    await service.refused.flush()

    listed, query = [], {"limit": 1, "excludeAction": "STATUS_CHECK"}
    page = await service.history(**query)
    while True:
        listed += page["history"]
        assert (page["total"], page["hasMore"]) == (4, "nextPageToken" in page)
        if not page["hasMore"]:
            break
        page = await service.history(**query, pageToken=page["nextPageToken"])
    told = {(each["correlationId"], each["action"], each["status"], each["failureReason"]) for each in listed}
    assert told == {
        ("c-0", "LOCK", "FAILED", "DOOR_OPEN"),
        ("c-1", "UNLOCK", "FAILED", "ENGINE_ON"),
        ("c-2", "UNLOCK", "FAILED", "COMMAND_IN_PROGRESS"),
        ("x-1", "CANCEL", "FAILED", "TOO_LATE"),
    }
    assert [each["timestamp"] for each in listed] == sorted(
        (each["timestamp"] for each in listed), reverse=True
    )
    problem = await refused_history(service, pageToken="of-no-list")
    assert (problem["status"], problem["errors"][0]["field"]) == (400, "pageToken")


async def refused_history(service: CommandRpcHarness, **query: Any) -> dict[str, Any]:
    request = ParseDict({"vin": VIN, **query}, rpc.ListCommandHistoryRequest())
    return await refused(service.stub.ListCommandHistory(request, metadata=service.metadata("h-2")))
