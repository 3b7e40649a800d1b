"""The RPC about who gave a command, for the service that tells people how theirs ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import grpc
from ecarus.remotecontrol.access.v1 import command_origin_service_pb2, command_origin_service_pb2_grpc
from typing_extensions import override

from services.platform.policy import policy_of
from services.platform.server import ServedApi

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SERVICE = "ecarus.remotecontrol.access.v1.CommandOriginService"

Context = grpc.aio.ServicerContext[Any, Any]


class CommandOrigins(Protocol):
    """Where it is kept."""

    async def requesters(self, command_ids: Sequence[str]) -> Mapping[str, str]:
        """Return for whom each of these commands that are known was given. Raises StorageUnavailableError."""


class CommandOriginServicer(command_origin_service_pb2_grpc.CommandOriginServiceServicer):
    """Serves CommandOriginService."""

    def __init__(self, commands: CommandOrigins) -> None:
        self._commands = commands

    @property
    def api(self) -> ServedApi:
        """What the service's server serves besides."""
        return ServedApi(
            SERVICE,
            policy_of(SERVICE),
            lambda server: command_origin_service_pb2_grpc.add_CommandOriginServiceServicer_to_server(
                self, server
            ),
        )

    @override
    async def ListCommandOrigins(
        self, request: command_origin_service_pb2.ListCommandOriginsRequest, context: Context
    ) -> command_origin_service_pb2.ListCommandOriginsResponse:
        found = await self._commands.requesters(request.command_ids)
        return command_origin_service_pb2.ListCommandOriginsResponse(
            origins=[
                command_origin_service_pb2.CommandOrigin(command_id=command_id, person=person)
                for command_id, person in found.items()
            ]
        )
