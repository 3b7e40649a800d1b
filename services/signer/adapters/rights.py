"""Asking the access service whether an order may still be given, and in which role."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import structlog
from ecarus.remotecontrol.access.v1 import access_service_pb2, access_service_pb2_grpc

from services.platform.channel import ask
from services.platform.times import moment
from services.signer.domain import CurrentRight
from services.signer.usecases import AccessUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from services.signer.usecases import PermissionQuery

_SECONDS = 1.5
"""Less than the services that ask this one wait for its answer."""
_FAR_MILLIS = 250_000_000_000_000
_log = structlog.get_logger()


class GrpcRights:
    """`usecases.Rights` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = access_service_pb2_grpc.AccessServiceStub(channel)

    async def rights(self, questions: Sequence[PermissionQuery]) -> list[CurrentRight | None]:
        """For each the right that allows it now; None where none does. Raises AccessUnavailableError."""
        request = access_service_pb2.CheckGrantsRequest()
        for asked in questions:
            request.questions.add(
                subject=asked.subject,
                vin=asked.vin,
                action=asked.action,
                actor=asked.actor,
                credential=asked.credential,
            )
        try:
            answer = await ask(self._stub.CheckGrants, request, seconds=_SECONDS, attempts=3)
        except grpc.aio.AioRpcError as error:
            _log.warning("rights_unknown", code=error.code().name, detail=error.details())
            raise AccessUnavailableError from error
        # An access service of the version before says nothing of when rights end.
        ends = answer.ends_at_millis or [0] * len(questions)
        if not len(answer.allowed) == len(answer.roles) == len(ends) == len(questions):
            _log.error("rights_unknown", code="WRONG_COUNT", detail=f"{len(answer.allowed)} answers")
            raise AccessUnavailableError
        return [
            CurrentRight(role, _moment(millis)) if allowed else None
            for allowed, role, millis in zip(answer.allowed, answer.roles, ends, strict=True)
        ]


def _moment(millis: int) -> datetime | None:
    """Far beyond every order's life it does not matter when."""
    return moment(min(millis, _FAR_MILLIS) * 1_000) if millis else None
