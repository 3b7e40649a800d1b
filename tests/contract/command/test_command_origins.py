"""Who gave a command, as the notification service asks it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import command_origin_service_pb2 as contract
from ecarus.remotecontrol.access.v1.command_origin_service_pb2_grpc import CommandOriginServiceStub
from ecarus.remotecontrol.door.v1 import door_command_service_pb2_grpc as stubs

from services.command.adapters.origin_server import CommandOriginServicer
from services.command.adapters.refusals import refusal_of
from services.command.adapters.server import POLICY, SERVICE, DoorCommandServicer
from services.command.domain.commands import Ending, Status
from services.command.usecases.history import RefusedRequests
from services.platform.server import GrpcServer

if TYPE_CHECKING:
    from services.platform.capability import CapabilityVerifier
    from services.platform.settings import ServiceSettings
    from tests.contract.command.conftest import CommandRpcHarness
    from tests.contract.conftest import BuildRoom


@pytest.fixture
def room_name() -> str:
    return "command"


@pytest.fixture
def build_room(unserved: CommandRpcHarness) -> BuildRoom:
    def build(settings: ServiceSettings, verifier: CapabilityVerifier) -> GrpcServer:
        unserved.refused = RefusedRequests(unserved.commands, lambda: unserved.now)
        servicer = DoorCommandServicer(unserved.deps, unserved.refused, unserved.waits)
        register = partial(stubs.add_DoorCommandServiceServicer_to_server, servicer)
        besides = [CommandOriginServicer(unserved.commands).api]
        return GrpcServer(settings, [SERVICE], register, POLICY, verifier, refusal_of, besides=besides)

    return build


async def origins(server: Any, *command_ids: str, workload: str = "room/notification") -> dict[str, str]:
    async with server.channel(workload) as channel:
        request = contract.ListCommandOriginsRequest(command_ids=command_ids)
        answer = await CommandOriginServiceStub(channel).ListCommandOrigins(request, timeout=5)
    return {each.command_id: each.person for each in answer.origins}


async def test_it_is_whom_it_was_given_for_and_an_agents_customer(
    service: CommandRpcHarness, grpc_server: Any
) -> None:
    own = await service.lock("c-1")
    await service.vehicle_ends(own.command_id, Ending(Status.SUCCESS, service.now, "Done."))
    proxy = await service.lock("c-2", subject="user-456", actor="agent-7", source="CALL_CENTER")
    found = await origins(grpc_server, own.command_id, proxy.command_id, "cmd-of-nobody")
    assert found == {own.command_id: "user-123", proxy.command_id: "user-456"}


@pytest.mark.parametrize("workload", ["edge", "room/status", "team/operator"])
async def test_nobody_else_asks(grpc_server: Any, workload: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await origins(grpc_server, "cmd-1", workload=workload)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_it_is_asked_for_some_at_a_time(grpc_server: Any) -> None:
    for ids in ([], ["cmd-1"] * 101, ["a b"]):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await origins(grpc_server, *ids)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
