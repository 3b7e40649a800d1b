"""RPC in, RPC out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecarus.remotecontrol.door.v1 import door_command_service_pb2_grpc as stubs
from typing_extensions import override

from services.command.adapters import translate
from services.command.domain.commands import CommandAction
from services.command.usecases import history as history_usecases
from services.command.usecases import requests as usecases
from services.platform.call import current_call
from services.platform.policy import policy_of

if TYPE_CHECKING:
    from typing import Any

    import grpc
    from ecarus.remotecontrol.door.v1 import door_command_pb2, door_command_service_pb2

    from services.command.domain.commands import DoorAction
    from services.command.usecases.history import RefusedRequests
    from services.command.usecases.ports import CommandDependencies

    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = "ecarus.remotecontrol.door.v1.DoorCommandService"
POLICY = policy_of(SERVICE)


class DoorCommandServicer(stubs.DoorCommandServiceServicer):
    """DoorCommandService of the contract."""

    def __init__(self, deps: CommandDependencies, refused: RefusedRequests) -> None:
        self._deps = deps
        self._refused = refused

    @override
    async def UnlockDoors(
        self, request: door_command_service_pb2.UnlockDoorsRequest, context: Context
    ) -> door_command_pb2.DoorCommand:
        return await self._order(request.vin, translate.unlock_order(request.unlock), context)

    @override
    async def LockDoors(
        self, request: door_command_service_pb2.LockDoorsRequest, context: Context
    ) -> door_command_pb2.DoorCommand:
        return await self._order(request.vin, translate.lock_order(request.lock), context)

    async def _order(
        self, vin: str, door_action: DoorAction, context: Context
    ) -> door_command_pb2.DoorCommand:
        call = current_call()
        requester = translate.requester_of(call)
        with self._refused.noting(
            requester, vin, door_action.action, call.correlation_id, door_action.target_doors
        ):
            command = await usecases.request_doors(
                self._deps, requester, vin, door_action, call.correlation_id
            )
        await _accepted(context, vin, command.command_id)
        return translate.first_answer(command)

    @override
    async def CancelCommand(
        self, request: door_command_service_pb2.CancelCommandRequest, context: Context
    ) -> door_command_pb2.DoorCommand:
        call = current_call()
        requester = translate.requester_of(call)
        cancel_request = translate.cancel_request(request.cancellation)
        with self._refused.noting(requester, request.vin, CommandAction.CANCEL, call.correlation_id):
            command = await usecases.cancel(
                self._deps, requester, request.vin, cancel_request, call.correlation_id
            )
        await _accepted(context, request.vin, command.command_id)
        return translate.current_answer(command)

    @override
    async def GetCommand(
        self,
        request: door_command_service_pb2.GetCommandRequest,
        context: Context,
    ) -> door_command_pb2.DoorCommandDetails:
        viewer = translate.viewer_of(current_call())
        return translate.details(await usecases.read(self._deps, viewer, request.vin, request.command_id))

    @override
    async def ListCommandHistory(
        self,
        request: door_command_service_pb2.ListCommandHistoryRequest,
        context: Context,
    ) -> door_command_pb2.DoorHistory:
        call = current_call()
        viewer = translate.viewer_of(call)
        listed = self._deps.rules.checks_listed
        query = translate.history_query(request, viewer, self._deps.now(), checks_listed=listed)
        page = await history_usecases.list_history(self._deps, request.vin, query)
        return translate.history_page(page, request, call.granted().unrecorded_since)


async def _accepted(context: Context, vin: str, command_id: str) -> None:
    """REST answers 202 and says where the command's life can be followed."""
    location = f"/api/v1/remotecontrol/vehicles/{vin}/door/commands/{command_id}"
    await context.send_initial_metadata((("x-http-code", "202"), ("location", location)))
