"""Asks the command service when vehicles may be woken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import structlog
from ecarus.remotecontrol.access.v1 import wake_up_service_pb2 as contract
from ecarus.remotecontrol.access.v1.wake_up_service_pb2_grpc import WakeUpServiceStub

if TYPE_CHECKING:
    from services.status.usecases.capabilities import WakeUpQuestion

ASK_SECONDS = 1.0
_log = structlog.get_logger()


class CommandWakeUps:
    """usecases.capabilities.WakeUpBudgets, over a channel, which it closes; without one nobody can tell."""

    def __init__(self, channel: grpc.aio.Channel | None) -> None:
        self._channel = channel

    async def close(self) -> None:
        """Let go of the channel."""
        if self._channel is not None:
            await self._channel.close()

    async def next_wake_up_us(self, question: WakeUpQuestion) -> int | None:
        """Return when, microseconds since 1970; None when nobody can tell: what else there is to say is said all the
        same.
        """
        if self._channel is None:
            return None
        request = contract.GetNextWakeUpRequest(
            vin=question.vin, subject=question.subject, by_owner=question.by_owner
        )
        try:
            answer = await WakeUpServiceStub(self._channel).GetNextWakeUp(request, timeout=ASK_SECONDS)
        except grpc.aio.AioRpcError as error:
            _log.warning("wake_up_budget_not_known", reason=error.code().name)
            return None
        return answer.at.ToMicroseconds()
