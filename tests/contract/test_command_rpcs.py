"""DoorCommandService over real gRPC with mutual TLS and a real store, as the edge calls it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.door.v1 import door_command_pb2
from ecarus.remotecontrol.door.v1 import door_command_service_pb2 as rpc
from ecarus.remotecontrol.door.v1 import door_command_service_pb2_grpc as stubs
from google.protobuf.json_format import MessageToDict, ParseDict

import services.command
from services.command.adapters import store, translate
from services.command.adapters.outbox_messages import CommandOutboxMessages
from services.command.adapters.refusals import refusal_of
from services.command.adapters.server import POLICY, SERVICE, DoorCommandServicer
from services.command.domain.commands import (
    AdvisoryState,
    CommandAction,
    DoorAction,
    DoorResult,
    Ending,
    FailureReason,
    Mode,
    Status,
)
from services.command.domain.reports import CommandReceipt, ReportedResult
from services.command.domain.rules import Rules
from services.command.usecases import requests as usecases
from services.command.usecases.history import RefusedRequests
from services.command.usecases.ports import CommandDependencies
from services.command.usecases.vehicle_reports import ingest_messages
from services.platform.database import open_database
from services.platform.storage import StorageUnavailableError
from tests.contract.conftest import ServedRoom
from tests.support.command_store_harness import MAC, FakeConditions, FakeDispatch, FakeKnownVehicles, admitted
from tests.support.databases import migrated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


VIN = "KMHSH81C7LU123456"
START = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
ALL_ACTIONS = ("door.unlock", "door.lock", "door.cancel", "door.status.read", "door.history.read")


@dataclass(slots=True)
class CommandRpcHarness:
    """A command service that serves, with the vehicle's side played by the test."""

    dispatch: FakeDispatch
    advisory_states: FakeConditions
    commands: store.SqlCommands
    refused: Any = None
    stub: Any = None
    signer: Any = None
    now: datetime = START
    known: FakeKnownVehicles = field(default_factory=FakeKnownVehicles)

    @property
    def deps(self) -> CommandDependencies:
        rules = Rules(timedelta(seconds=30), 5, timedelta(days=90))
        return CommandDependencies(
            self.commands,
            CommandOutboxMessages(MAC),
            self.dispatch.committed,
            self.dispatch,
            self.advisory_states,
            self.known,
            rules,
            lambda: self.now,
        )

    def metadata(self, correlation_id: str, **claims: Any) -> Any:
        token = self.signer.capability(claims.pop("vin", VIN), *claims.pop("actions", ALL_ACTIONS), **claims)
        return (
            ("x-ecarus-capability", token),
            ("x-correlation-id", correlation_id),
            ("x-envoy-original-path", "/door?x=1"),
        )

    def unlock(self, correlation_id: str = "c-1", body: dict[str, Any] | None = None, **claims: Any) -> Any:
        unlock = ParseDict(body or {"targetDoors": ["all"]}, door_command_pb2.DoorUnlock())
        request = rpc.UnlockDoorsRequest(vin=VIN, unlock=unlock)
        return self.stub.UnlockDoors(request, metadata=self.metadata(correlation_id, **claims))

    def lock(self, correlation_id: str = "c-1", body: dict[str, Any] | None = None, **claims: Any) -> Any:
        lock = ParseDict(body or {"targetDoors": ["all"]}, door_command_pb2.DoorLock())
        request = rpc.LockDoorsRequest(vin=VIN, lock=lock)
        return self.stub.LockDoors(request, metadata=self.metadata(correlation_id, **claims))

    def cancel(
        self,
        cancel_id: str = "x-1",
        correlation_id: str = "c-1",
        claims: dict[str, Any] | None = None,
        **body: Any,
    ) -> Any:
        fields = {"correlationId": correlation_id, "reason": "User cancellation", "force": False, **body}
        cancellation = ParseDict(fields, door_command_pb2.DoorCancellation())
        request = rpc.CancelCommandRequest(vin=VIN, cancellation=cancellation)
        return self.stub.CancelCommand(request, metadata=self.metadata(cancel_id, **(claims or {})))

    async def details(self, command_id: str, **claims: Any) -> dict[str, Any]:
        request = rpc.GetCommandRequest(vin=VIN, command_id=command_id)
        return as_json(await self.stub.GetCommand(request, metadata=self.metadata("g-1", **claims)))

    async def history(self, claims: dict[str, Any] | None = None, **query: Any) -> dict[str, Any]:
        request = ParseDict({"vin": VIN, **query}, rpc.ListCommandHistoryRequest())
        metadata = self.metadata("h-1", **(claims or {}))
        return as_json(await self.stub.ListCommandHistory(request, metadata=metadata))

    async def vehicle_ends(self, command_id: str, ending: Ending) -> None:
        await ingest_messages(self.deps, admitted(ReportedResult("m-1", VIN, command_id, ending)))


def as_json(message: Any) -> dict[str, Any]:
    """As Envoy's transcoder prints it (gateway: fields without presence are always there)."""
    return MessageToDict(message, always_print_fields_with_no_presence=True)


async def refused(call: Any) -> dict[str, Any]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    document: dict[str, Any] = json.loads(dict(caught.value.trailing_metadata() or ())["x-problem"])
    return document


@pytest.fixture
def served() -> ServedRoom:
    return ServedRoom("command", [SERVICE], POLICY, refusal_of)


@pytest.fixture
async def unserved(signer: Any, tmp_path: Path) -> AsyncIterator[CommandRpcHarness]:
    """The service over its store, and nobody who asks it."""
    url = f"sqlite:///{tmp_path}/command.sqlite3"
    migrations = Path(services.command.__file__).with_name("migrations")
    await asyncio.to_thread(migrated, url, migrations, store.HEAD)
    database = await open_database(url)
    dispatch = FakeDispatch()
    service = CommandRpcHarness(
        dispatch,
        FakeConditions(),
        store.SqlCommands(database),
    )
    service.signer = signer
    yield service
    await database.close()


@pytest.fixture
def grpc_servicer(unserved: CommandRpcHarness) -> DoorCommandServicer:
    service = unserved
    service.refused = RefusedRequests(service.commands, lambda: service.now)
    return DoorCommandServicer(service.deps, service.refused)


@pytest.fixture
def grpc_add_to_server() -> Any:
    return stubs.add_DoorCommandServiceServicer_to_server


@pytest.fixture
def grpc_stub_cls() -> type[stubs.DoorCommandServiceStub]:
    return stubs.DoorCommandServiceStub


@pytest.fixture
def service(unserved: CommandRpcHarness, grpc_stub: Any) -> CommandRpcHarness:
    unserved.stub = grpc_stub
    return unserved


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
