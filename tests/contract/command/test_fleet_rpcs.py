"""The fleet's failures over real gRPC: for employees through the edge, and for operators with their certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import fleet_review_service_pb2 as review
from ecarus.remotecontrol.access.v1 import fleet_review_service_pb2_grpc as review_stubs
from ecarus.remotecontrol.door.v1 import fleet_failure_service_pb2 as rpc
from ecarus.remotecontrol.door.v1 import fleet_failure_service_pb2_grpc as stubs

from services.command.adapters.fleet_server import (
    FLEET_POLICY,
    FLEET_REVIEW_SERVICE,
    FLEET_SERVICE,
    FleetFailureServicer,
)
from services.command.adapters.refusals import refusal_of
from services.command.adapters.store import SqlFailureCounts, SqlFleetCounts
from services.command.domain.commands import (
    CommandAction,
    DoorAction,
    Ending,
    FailureReason,
    Mode,
    Requester,
    Status,
)
from services.command.domain.reports import ReportedResult
from services.command.usecases import requests as usecases
from services.command.usecases.failures import FailureDependencies, count_failures
from services.command.usecases.fleet import FleetDependencies
from services.command.usecases.vehicle_reports import ingest_messages
from services.platform.server import GrpcServer
from tests.contract.command.conftest import CommandRpcHarness, as_json, refused
from tests.support.command_store_harness import admitted

if TYPE_CHECKING:
    from services.platform.capability import CapabilityVerifier
    from services.platform.settings import ServiceSettings
    from tests.contract.conftest import BuildRoom

READ = "fleet.failures.read"
OWNER = Requester("user-123", "user-123", "MOBILE_APP")
VINS = ("KMHSH81C7LU123456", "KMHSH81C7LU100001")


@pytest.fixture
def room_name() -> str:
    return "command"


@pytest.fixture
def build_room(unserved: CommandRpcHarness) -> BuildRoom:
    def build(settings: ServiceSettings, verifier: CapabilityVerifier) -> GrpcServer:
        counts = SqlFleetCounts(unserved.commands._database)
        servicer = FleetFailureServicer(FleetDependencies(counts, 2, lambda: unserved.now))
        served = [FLEET_SERVICE, FLEET_REVIEW_SERVICE]
        return GrpcServer(settings, served, servicer.register, FLEET_POLICY, verifier, refusal_of)

    return build


@pytest.fixture
async def failed(unserved: CommandRpcHarness) -> CommandRpcHarness:
    """Two vehicles, each with a lock that found a door open."""
    order = DoorAction(CommandAction.LOCK, ("all",), Mode.NORMAL)
    for vin in VINS:
        command = await usecases.request_doors(unserved.deps, OWNER, vin, order, f"c-{vin}")
        ending = Ending(Status.FAILED, unserved.now, "No.", FailureReason.DOOR_OPEN)
        report = ReportedResult(f"m-{vin}", vin, command.command_id, ending)
        await ingest_messages(unserved.deps, admitted(report))
    counts = SqlFailureCounts(unserved.commands._database)
    await count_failures(FailureDependencies(counts, lambda _: "SEDAN", 2, lambda: unserved.now))
    return unserved


async def test_an_employee_reads_causes_models_and_what_to_say(
    failed: CommandRpcHarness, grpc_server: Any
) -> None:
    metadata = failed.metadata("f-1", vin="", actions=(READ,))
    async with grpc_server.channel("edge") as channel:
        stub = stubs.FleetFailureServiceStub(channel)
        told = as_json(await stub.GetFleetFailures(rpc.GetFleetFailuresRequest(), metadata=metadata))
        table = await stub.GetFleetFailuresTable(
            rpc.GetFleetFailuresTableRequest(period="7d"), metadata=metadata
        )
    assert (told["period"], told["language"], told["minimumVehicles"]) == ("30d", "en", 2)
    assert told["totals"] == {"commands": 2, "failures": 2, "failureRate": 1.0}
    (cause,) = told["causes"]
    assert (cause["failureReason"], cause["component"], cause["share"]) == ("DOOR_OPEN", "DOOR", 1.0)
    assert cause["guidance"]
    assert [(each["model"], each["timesFleet"]) for each in told["models"]] == [("SEDAN", 1.0)]
    assert told["components"] == [{"component": "DOOR", "failures": 2, "share": 1.0}]
    assert not any(name in str(told) for name in (*VINS, "user-123"))
    assert table.content_type.startswith("text/csv")
    assert table.data.decode().split("\r\n")[1].startswith("SEDAN,DOOR_OPEN,DOOR,,2,")


async def test_a_model_that_there_is_not_and_one_of_too_few_are_told_alike(
    failed: CommandRpcHarness, grpc_server: Any
) -> None:
    metadata = failed.metadata("f-1", vin="", actions=(READ,))
    async with grpc_server.channel("edge") as channel:
        stub = stubs.FleetFailureServiceStub(channel)
        request = rpc.GetFleetFailuresRequest(model="Kit", language="ko")
        told = as_json(await stub.GetFleetFailures(request, metadata=metadata))
    assert told["model"] == "Kit"
    assert "totals" not in told
    assert (told["causes"], told["models"], told["buckets"]) == ([], [], [])


@pytest.mark.parametrize("query", [{"period": "24h"}, {"language": "de"}, {"model": ""}, {"model": "x" * 65}])
async def test_what_is_no_period_language_or_model_is_a_field_violation(
    failed: CommandRpcHarness, grpc_server: Any, query: dict[str, str]
) -> None:
    metadata = failed.metadata("f-1", vin="", actions=(READ,))
    async with grpc_server.channel("edge") as channel:
        call = stubs.FleetFailureServiceStub(channel).GetFleetFailures(
            rpc.GetFleetFailuresRequest(**query), metadata=metadata
        )
        problem = await refused(call)
    assert [each["field"] for each in problem["errors"]] == list(query)


async def test_who_may_read_a_vehicles_history_reads_nothing_of_the_fleet(
    failed: CommandRpcHarness, grpc_server: Any
) -> None:
    async with grpc_server.channel("edge") as channel:
        stub = stubs.FleetFailureServiceStub(channel)
        for metadata in (
            failed.metadata("f-1", vin="", actions=("door.history.read",)),
            failed.metadata("f-2"),
        ):
            call = stub.GetFleetFailures(rpc.GetFleetFailuresRequest(), metadata=metadata)
            assert (await refused(call))["code"] in {"ACTION_NOT_GRANTED", "VEHICLE_NOT_FOUND"}


@pytest.mark.usefixtures("failed")
async def test_operators_are_told_the_same_and_nobody_else_is(grpc_server: Any) -> None:
    request = review.ReviewFleetFailuresRequest(period="7d")
    async with grpc_server.channel("operator") as channel:
        told = await review_stubs.FleetReviewServiceStub(channel).ReviewFleetFailures(request, timeout=5)
    assert (told.totals.failures, told.models[0].model) == (2, "SEDAN")
    for workload in ("edge", "room/status"):
        async with grpc_server.channel(workload) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await review_stubs.FleetReviewServiceStub(channel).ReviewFleetFailures(request, timeout=5)
        assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
