"""RPC in, RPC out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ecarus.remotecontrol.door.v1 import door_command_service_pb2_grpc as stubs
from typing_extensions import override

from services.command.adapters import translate
from services.command.domain.commands import CommandAction
from services.command.domain.refusals import CommandNotFoundError
from services.command.usecases import history as history_usecases
from services.command.usecases import requests as usecases
from services.platform.call import current_call
from services.platform.interceptor import LONGEST_WAIT_SECONDS, ORIGINAL_PATH
from services.platform.policy import policy_of
from services.platform.preferences import PREFER, PREFERENCE_APPLIED, wait_seconds
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from typing import Any

    import grpc
    from ecarus.remotecontrol.door.v1 import door_command_pb2, door_command_service_pb2

    from services.command.domain.commands import Command, DoorAction, Viewer
    from services.command.usecases.history import RefusedRequests
    from services.command.usecases.ports import CommandDependencies
    from services.command.usecases.waiting import CommandWaits

    Context = grpc.aio.ServicerContext[Any, Any]

ACCEPT_SECONDS = 4.5
"""As long as a caller who does not wait for the end lets it take to accept a command."""
ANSWER_SECONDS = 0.5
"""Kept back from the caller's deadline, to read how the command stands and answer."""
SERVICE = "ecarus.remotecontrol.door.v1.DoorCommandService"
POLICY = policy_of(SERVICE)


class DoorCommandServicer(stubs.DoorCommandServiceServicer):
    """DoorCommandService of the contract."""

    def __init__(self, deps: CommandDependencies, refused: RefusedRequests, waits: CommandWaits) -> None:
        self._deps = deps
        self._refused = refused
        self._waits = waits

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
        if seconds := _preferred_wait(context):
            return await self._order_and_wait(vin, door_action, context, seconds)
        command = await self._request(vin, door_action, None)
        await _accepted(context, vin, command.command_id)
        return translate.first_answer(command)

    async def _request(self, vin: str, door_action: DoorAction, most_seconds: float | None) -> Command:
        call = current_call()
        requester = translate.requester_of(call)
        with self._refused.noting(
            requester, vin, door_action.action, call.correlation_id, door_action.target_doors
        ):
            async with asyncio.timeout(most_seconds):
                return await usecases.request_doors(
                    self._deps, requester, vin, door_action, call.correlation_id
                )

    async def _order_and_wait(
        self, vin: str, door_action: DoorAction, context: Context, seconds: int
    ) -> door_command_pb2.DoorCommand:
        """Answer once the command has ended; after so many seconds, or once the right to look at it has ended, as if
        nobody had waited.
        """
        viewer, right = translate.viewer_of(current_call()), translate.wait_right_of(current_call())
        ends_at = current_call().granted().ends_at
        with self._waits.waiting(viewer.subject, right) as wait:
            command = await self._request(vin, door_action, ACCEPT_SECONDS)
            command_id = command.command_id
            if wait is None:
                await _accepted(context, vin, command_id)
                return translate.first_answer(command)
            self._waits.follow(wait, command_id)
            current = await self._read_or_none(viewer, vin, command_id)
            if current is not None and not current.status.final:
                left = ends_at - self._deps.now().timestamp()
                await wait.until_ended(min(_seconds_to_wait(context, seconds), left))
                current = await self._read_or_none(viewer, vin, command_id)
            if wait.right_ended or ends_at <= self._deps.now().timestamp():
                current = None
        waited = (PREFERENCE_APPLIED, f"wait={seconds}")
        if current is None or not current.status.final:
            await _accepted(context, vin, command_id, waited)
            return translate.first_answer(command)
        told = [("location", translate.location_of(vin, command_id)), waited]
        if ORIGINAL_PATH in current_call().metadata:
            told += [("x-http-body", translate.details_text(current)), ("content-location", told[0][1])]
        await context.send_initial_metadata(tuple(told))
        return translate.final_answer(current)

    async def _read_or_none(self, viewer: Viewer, vin: str, command_id: str) -> Command | None:
        """Return how the command stands; None where there is none for them, or the store is away."""
        try:
            return await usecases.read(self._deps, viewer, vin, command_id)
        except (CommandNotFoundError, StorageUnavailableError):
            return None

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


async def _accepted(context: Context, vin: str, command_id: str, *more: tuple[str, str]) -> None:
    """REST answers 202 and says where the command's life can be followed."""
    location = ("location", translate.location_of(vin, command_id))
    await context.send_initial_metadata((("x-http-code", "202"), location, *more))


def _preferred_wait(context: Context) -> int:
    """Return for how many seconds the caller would wait for the end; 0 where they do not say."""
    metadata = context.invocation_metadata() or ()
    preferences = [str(value) for key, value in metadata if key == PREFER]
    return wait_seconds(preferences, int(LONGEST_WAIT_SECONDS)) if preferences else 0


def _seconds_to_wait(context: Context, seconds: int) -> float:
    """Return the same, as far as the caller's deadline leaves time to answer."""
    left = context.time_remaining()
    return float(seconds) if left is None else min(float(seconds), max(0.0, left - ANSWER_SECONDS))
