"""Asking the access service whether a command may still be given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import structlog
from ecarus.remotecontrol.access.v1 import access_service_pb2, access_service_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Sequence

_SECONDS = 2.0
_log = structlog.get_logger()


class GrpcRights:
    """`dispatch.Rights` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = access_service_pb2_grpc.AccessServiceStub(channel)

    async def allowed(self, questions: Sequence[tuple[str, str, str]]) -> list[bool] | None:
        """See dispatch.Rights."""
        request = access_service_pb2.CheckGrantsRequest()
        for subject, vin, action in questions:
            request.questions.add(subject=subject, vin=vin, action=action)
        try:
            answer = await self._stub.CheckGrants(request, timeout=_SECONDS)
        except grpc.aio.AioRpcError as error:
            _log.warning("rights_unknown", code=error.code().name, detail=error.details())
            return None
        if len(answer.allowed) != len(questions):
            _log.error("rights_unknown", code="WRONG_COUNT", detail=f"{len(answer.allowed)} answers")
            return None
        return list(answer.allowed)
