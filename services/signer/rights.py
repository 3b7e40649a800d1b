"""Asking the access room whether an order may still be given, and in which role."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import structlog
from ecarus.remotecontrol.access.v1 import access_service_pb2, access_service_pb2_grpc

from services.runtime.channel import ask
from services.signer.usecases import AccessAway

if TYPE_CHECKING:
    from collections.abc import Sequence

_SECONDS = 1.5
"""Less than the rooms that ask this one wait for its answer."""
_log = structlog.get_logger()


class GrpcRights:
    """`usecases.Rights` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = access_service_pb2_grpc.AccessServiceStub(channel)

    async def roles(self, questions: Sequence[tuple[str, str, str]]) -> list[int | None]:
        """See usecases.Rights."""
        request = access_service_pb2.CheckGrantsRequest()
        for subject, vin, action in questions:
            request.questions.add(subject=subject, vin=vin, action=action)
        try:
            answer = await ask(self._stub.CheckGrants, request, seconds=_SECONDS, attempts=3)
        except grpc.aio.AioRpcError as error:
            _log.warning("rights_unknown", code=error.code().name, detail=error.details())
            raise AccessAway from error
        if not len(answer.allowed) == len(answer.roles) == len(questions):
            _log.error("rights_unknown", code="WRONG_COUNT", detail=f"{len(answer.allowed)} answers")
            raise AccessAway
        return [role if allowed else None for allowed, role in zip(answer.allowed, answer.roles, strict=True)]
