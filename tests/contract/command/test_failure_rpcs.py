"""DoorFailureService over real gRPC: the analysis, its table, and to whom which of it is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ecarus.remotecontrol.door.v1 import door_failure_service_pb2 as rpc
from ecarus.remotecontrol.door.v1 import door_failure_service_pb2_grpc as stubs
from google.protobuf.json_format import ParseDict

from services.command.adapters.failure_server import FAILURE_POLICY, FAILURE_SERVICE, DoorFailureServicer
from services.command.adapters.refusals import refusal_of
from services.command.adapters.store import SqlFailureCounts
from services.command.domain.commands import (
    CommandAction,
    DoorAction,
    DoorResult,
    Ending,
    FailureReason,
    Mode,
    Requester,
    Status,
)
from services.command.domain.reports import ReportedResult
from services.command.usecases import requests as usecases
from services.command.usecases.failures import FailureDependencies, count_failures
from services.command.usecases.vehicle_reports import ingest_messages
from tests.contract.command.conftest import VIN, CommandRpcHarness, as_json, refused
from tests.contract.conftest import ServedRoom
from tests.support.command_store_harness import admitted

OWNER = Requester("user-123", "user-123", "MOBILE_APP")
GUEST = Requester("user-9", "user-9", "MOBILE_APP")
SINCE = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp())


@pytest.fixture
def served() -> ServedRoom:
    return ServedRoom("command", [FAILURE_SERVICE], FAILURE_POLICY, refusal_of)


@pytest.fixture
def failure_deps(unserved: CommandRpcHarness) -> FailureDependencies:
    database = unserved.commands._database  # the harness's own
    return FailureDependencies(SqlFailureCounts(database), lambda _: "SEDAN", 2, lambda: unserved.now)


@pytest.fixture
def grpc_servicer(failure_deps: FailureDependencies) -> DoorFailureServicer:
    return DoorFailureServicer(failure_deps)


@pytest.fixture
def grpc_add_to_server() -> Any:
    return stubs.add_DoorFailureServiceServicer_to_server


@pytest.fixture
def grpc_stub_cls() -> type[stubs.DoorFailureServiceStub]:
    return stubs.DoorFailureServiceStub


@pytest.fixture
async def failed(
    unserved: CommandRpcHarness, failure_deps: FailureDependencies, grpc_stub: Any
) -> CommandRpcHarness:
    """The owner's lock that left the trunk open, and a guest's that nobody heard of."""
    unserved.stub = grpc_stub
    order = DoorAction(CommandAction.LOCK, ("trunk",), Mode.NORMAL)
    command = await usecases.request_doors(unserved.deps, OWNER, VIN, order, "c-1")
    fault = FailureReason.ACTUATOR_FAULT
    doors = (DoorResult("trunk", success=False, locked=False, failure_reason=fault),)
    await unserved.vehicle_ends(
        command.command_id, Ending(Status.FAILED, unserved.now, "No.", fault, door_results=doors)
    )
    await usecases.request_doors(unserved.deps, GUEST, VIN, order, "c-2")
    unserved.now += timedelta(seconds=31)
    await usecases.time_out_overdue(unserved.deps)
    await count_failures(failure_deps)
    return unserved


async def read(
    service: CommandRpcHarness, claims: dict[str, Any] | None = None, **query: Any
) -> dict[str, Any]:
    request = ParseDict({"vin": VIN, **query}, rpc.GetDoorFailuresRequest())
    metadata = service.metadata("f-1", **{"role": "OWNER", "since": SINCE, **(claims or {})})
    return as_json(await service.stub.GetDoorFailures(request, metadata=metadata))


async def test_the_owner_reads_causes_doors_parts_and_what_to_say(failed: CommandRpcHarness) -> None:
    told = await read(failed)
    assert (told["vin"], told["period"], told["model"], told["language"]) == (VIN, "24h", "SEDAN", "en")
    assert (told["commands"], told["failures"], told["failureRate"]) == (2, 2, 1.0)
    assert [(each["failureReason"], each["component"], each["share"]) for each in told["causes"]] == [
        ("ACTUATOR_FAULT", "DOOR_ACTUATOR", 0.5),
        ("TTL_EXPIRED", "VEHICLE_LINK", 0.5),
    ]
    assert told["causes"][0]["doors"] == [{"doorId": "trunk", "failures": 1, "reasons": []}]
    assert told["causes"][0]["guidance"].startswith("Use the mechanical key")
    assert [(each["doorId"], each["failures"]) for each in told["doors"]] == [("trunk", 1)]
    assert len(told["buckets"]) == 24
    assert sum(each["failures"] for each in told["buckets"]) == 2
    assert "fleet" not in told
    likely = told["likelyCause"]
    assert (likely["failureReason"], likely["doorId"], likely["certainty"]) == (
        "ACTUATOR_FAULT",
        "trunk",
        "POSSIBLE",
    )


async def test_it_is_told_in_korean_to_who_asks_for_it(failed: CommandRpcHarness) -> None:
    told = await read(failed, language="ko", period="7d")
    assert told["likelyCause"]["title"] == "잠금장치가 작동하지 않았습니다"
    assert len(told["buckets"]) == 7


async def test_who_shares_the_vehicle_reads_their_own_failures(failed: CommandRpcHarness) -> None:
    theirs = {"role": "SHARED_USER", "subject": "user-9"}
    told = await read(failed, theirs)
    assert [each["failureReason"] for each in told["causes"]] == ["TTL_EXPIRED"]


async def test_an_agent_reads_what_the_customer_sees(failed: CommandRpcHarness) -> None:
    told = await read(failed, {"actor": "agent-7", "case": "case-1"})
    assert told["failures"] == 2


async def test_a_new_owner_reads_nothing_of_before_and_everything_since(failed: CommandRpcHarness) -> None:
    began = int(failed.now.timestamp())
    told = await read(failed, {"since": began})
    assert (told["commands"], told["causes"]) == (0, [])
    assert "likelyCause" not in told
    assert (await read(failed, {"since": began - 40}))["failures"] == 2
    failed.now += timedelta(seconds=1)
    order = DoorAction(CommandAction.LOCK, ("trunk",), Mode.NORMAL)
    command = await usecases.request_doors(failed.deps, OWNER, VIN, order, "c-3")
    ending = Ending(Status.FAILED, failed.now, "No.", FailureReason.DOOR_OPEN)
    await ingest_messages(failed.deps, admitted(ReportedResult("m-2", VIN, command.command_id, ending)))
    told = await read(failed, {"since": began})
    assert [(each["failureReason"], each["failures"]) for each in told["causes"]] == [("DOOR_OPEN", 1)]


async def test_the_table_is_csv(failed: CommandRpcHarness) -> None:
    request = rpc.GetDoorFailuresTableRequest(vin=VIN, period="30d")
    metadata = failed.metadata("f-1", role="OWNER", since=SINCE)
    body = await failed.stub.GetDoorFailuresTable(request, metadata=metadata)
    assert body.content_type.startswith("text/csv")
    lines = body.data.decode().split("\r\n")
    assert lines[0].startswith("vin,model,start,end,action,failureReason,")
    assert len([line for line in lines if line]) == 1 + 3


@pytest.mark.parametrize("query", [{"period": "1h"}, {"period": "forever"}, {"language": "de"}])
async def test_another_period_or_language_is_a_field_violation(
    failed: CommandRpcHarness, query: dict[str, str]
) -> None:
    request = rpc.GetDoorFailuresRequest(vin=VIN, **query)
    problem = await refused(failed.stub.GetDoorFailures(request, metadata=failed.metadata("f-1")))
    assert problem["code"] == "INVALID_REQUEST"
    assert [each["field"] for each in problem["errors"]] == list(query)


async def test_who_may_not_read_the_history_reads_no_failures(failed: CommandRpcHarness) -> None:
    request = rpc.GetDoorFailuresRequest(vin=VIN)
    metadata = failed.metadata("f-1", actions=("door.status.read",))
    problem = await refused(failed.stub.GetDoorFailures(request, metadata=metadata))
    assert problem["code"] == "ACTION_NOT_GRANTED"
