"""The RPC that feeds gateways: many readers' watches in one call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog
from ecarus.remotecontrol.access.v1 import door_watch_service_pb2 as pb2
from ecarus.remotecontrol.access.v1.door_watch_service_pb2_grpc import (
    DoorWatchServiceServicer,
    add_DoorWatchServiceServicer_to_server,
)

from services.platform import errors
from services.platform.errors import Refusal
from services.platform.interceptor import resource_not_found
from services.platform.policy import policy_of
from services.platform.server import ServedApi
from services.platform.validation import violations_of
from services.status.adapters import translate
from services.status.adapters.refusals import refusal_of
from services.status.adapters.rights_of_calls import watch_right
from services.status.adapters.update_rendering import may_be_told, readable, watched_message, watched_update
from services.status.domain.rights import UPDATES_READ, EndingCause, WatchRightEndedError
from services.status.domain.updates import Update
from services.status.usecases.shared_watches import BegunWatch, EndedWatch, SharedReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import grpc

    from services.platform.capability import CapabilityVerifier
    from services.status.adapters.event_ids import EventIds
    from services.status.usecases.door_status import UpdateLog
    from services.status.usecases.hub import Hub
    from services.status.usecases.shared_watches import SharedItem

    Context = grpc.aio.ServicerContext[Any, Any]

_log = structlog.get_logger()
SERVICE = "ecarus.remotecontrol.access.v1.DoorWatchService"
_IN_ONE_BEGIN = "begin["
"""How the paths of violations begin that are of one watch."""
_CAUSES = {
    EndingCause.GRANT: pb2.WatchEnded.CAUSE_GRANT,
    EndingCause.ACCOUNT: pb2.WatchEnded.CAUSE_ACCOUNT,
    EndingCause.CREDENTIAL: pb2.WatchEnded.CAUSE_CREDENTIAL,
    EndingCause.TOKEN: pb2.WatchEnded.CAUSE_TOKEN,
    EndingCause.CASE: pb2.WatchEnded.CAUSE_CASE,
}


class DoorWatchServer(DoorWatchServiceServicer):
    """Serves DoorWatchService. `monotonic` is in seconds, `now_us` microseconds since 1970."""

    def __init__(
        self,
        hub: Hub,
        log: UpdateLog,
        ids: EventIds,
        verifier: CapabilityVerifier,
        monotonic: Callable[[], float],
        now_us: Callable[[], int],
    ) -> None:
        self._hub = hub
        self._log = log
        self._ids = ids
        self._verifier = verifier
        self._monotonic = monotonic
        self._now_us = now_us

    @property
    def api(self) -> ServedApi:
        """What a server serves with it."""
        return ServedApi(SERVICE, policy_of(SERVICE), self._register)

    def _register(self, server: grpc.aio.Server) -> None:
        add_DoorWatchServiceServicer_to_server(self, server)

    async def WatchVehicles(  # noqa: N802  # the contract's name
        self, requests: AsyncIterator[pb2.WatchVehiclesRequest], context: Context
    ) -> AsyncIterator[pb2.WatchVehiclesResponse]:
        """Tell of many vehicles as watches are begun and ended."""
        reader = SharedReader(self._hub, self._log, self._monotonic, may_be_told)
        taking = asyncio.get_running_loop().create_task(self._take(requests, reader))
        taking.add_done_callback(lambda task: _stop_with(reader, task))
        await context.send_initial_metadata(())
        try:
            while (batch := await reader.next_batch()) is not None:
                response = pb2.WatchVehiclesResponse()
                for entry in batch:
                    self._tell(response, entry)
                if response.events:
                    yield response
        finally:
            taking.cancel()
            reader.stop()

    async def _take(self, requests: AsyncIterator[pb2.WatchVehiclesRequest], reader: SharedReader) -> None:
        async for request in requests:
            violations = violations_of(request, None)
            if not all(each.field.startswith(_IN_ONE_BEGIN) for each in violations):
                raise Refusal(errors.INVALID_REQUEST, "The request is not sound.", violations=violations)
            for number in request.end:
                reader.end(number)
            for begin in request.begin:
                self._begin(begin, reader, is_sound=not violations)

    def _begin(self, begin: pb2.WatchBegin, reader: SharedReader, *, is_sound: bool) -> None:
        """Begin a watch, or tell why not: what is wrong with one is no reason to end the others."""
        if begin.watch in reader:
            raise Refusal(errors.INVALID_REQUEST, f"The watch {begin.watch} is in use.")
        if not is_sound and (violations := violations_of(begin, None)):
            refusal = Refusal(errors.INVALID_REQUEST, "The watch is not sound.", violations=violations)
            reader.refuse(begin.watch, refusal)
            return
        try:
            capability = self._verifier.verify(begin.capability)
            if capability.resource != begin.vin or UPDATES_READ not in capability.actions:
                raise resource_not_found()
        except Refusal as refusal:
            reader.refuse(begin.watch, refusal)
            return
        after = self._ids.position_of(begin.last_event_id) if begin.HasField("last_event_id") else None
        reader.begin(begin.watch, begin.vin, watch_right(capability), after)

    def _tell(self, response: pb2.WatchVehiclesResponse, entry: BegunWatch | EndedWatch | SharedItem) -> None:
        if isinstance(entry, BegunWatch):
            # Of a made-up id nothing is told but UPDATES_RESET, which has a place of its own.
            place = self._ids.id_of(entry.place) if entry.place.epoch else ""
            response.events.add().begun.CopyFrom(pb2.WatchBegun(watch=entry.number, event_id=place))
        elif isinstance(entry, EndedWatch):
            response.events.add().ended.CopyFrom(_ended(entry))
        elif numbers := entry.numbers:
            told = self._rendered(entry)
            if told is not None:
                event = response.events.add().update
                event.CopyFrom(told)
                event.watches.extend(numbers)

    def _rendered(self, entry: SharedItem) -> pb2.WatchedUpdate | None:
        if isinstance(entry.item, Update):
            return readable(watched_update, self._ids, entry.item)
        place = self._ids.id_of(entry.item.position)
        told = watched_message(translate.reset_message(entry.vin, place, self._now_us()))
        told.is_reset = True
        return told


def _ended(entry: EndedWatch) -> pb2.WatchEnded:
    reason = entry.reason
    refusal = reason if isinstance(reason, Refusal) else refusal_of(reason)
    if refusal is None:
        _log.error("watch_failed", exc_info=reason)
        refusal = Refusal(errors.INTERNAL_ERROR, "Something went wrong here; try again with your last id.")
    cause = pb2.WatchEnded.CAUSE_OTHER
    if isinstance(reason, WatchRightEndedError):
        cause = _CAUSES[reason.cause]
    return pb2.WatchEnded(
        watch=entry.number,
        cause=cause,
        code=refusal.reason.code,
        detail=refusal.detail,
        retry_after_seconds=refusal.retry_after_seconds or 0,
    )


def _stop_with(reader: SharedReader, task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    reader.stop(error if isinstance(error, Exception) else None)
