"""RPC in, RPC out."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.door.v1.door_status_service_pb2_grpc import (
    DoorStatusServiceServicer,
    add_DoorStatusServiceServicer_to_server,
)

from services.platform.call import current_call
from services.platform.policy import policy_of
from services.status.adapters import translate
from services.status.adapters.capability_translate import ReportedSigns, capabilities_of
from services.status.adapters.model_limits import ModelLimits
from services.status.adapters.rights_of_calls import watch_right
from services.status.adapters.update_rendering import may_be_told, readable
from services.status.domain.doors import StatusRead
from services.status.domain.updates import (
    Heartbeat,
    LogUnavailableError,
    Reset,
    StreamEndedError,
)
from services.status.usecases.capabilities import WakeUpQuestion, read_reach
from services.status.usecases.door_status import read_status, watch_updates
from services.status.usecases.hub import Watcher

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    import grpc
    from ecarus.remotecontrol.door.v1.door_capabilities_pb2 import DoorCapabilities
    from ecarus.remotecontrol.door.v1.door_status_pb2 import DoorStatus
    from ecarus.remotecontrol.door.v1.door_status_service_pb2 import (
        GetDoorCapabilitiesRequest,
        GetDoorStatusRequest,
        StreamDoorUpdatesRequest,
        WatchDoorUpdatesRequest,
    )
    from ecarus.remotecontrol.door.v1.door_update_pb2 import DoorUpdate
    from google.api.httpbody_pb2 import HttpBody

    from services.status.adapters.event_ids import EventIds
    from services.status.domain.updates import LogPosition, Update
    from services.status.usecases.capabilities import WakeUpBudgets
    from services.status.usecases.door_status import Losses, StatusReader, StatusReadRecorder, UpdateLog
    from services.status.usecases.hub import Hub
    from services.vehicle_models.catalogue import VehicleModels

    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = "ecarus.remotecontrol.door.v1.DoorStatusService"
LAST_EVENT_ID = "last-event-id"
OWNER = "OWNER"
POLICY = policy_of(SERVICE)


class DoorStatusServer(DoorStatusServiceServicer):
    """Serves DoorStatusService. `now_us` is microseconds since 1970."""

    def __init__(
        self,
        reader: StatusReader,
        checks: StatusReadRecorder,
        hub: Hub,
        log: UpdateLog,
        lost: Losses,
        ids: EventIds,
        now_us: Callable[[], int],
        *,
        models: VehicleModels,
        budgets: WakeUpBudgets,
    ) -> None:
        self._models = models
        self._limits = ModelLimits(models)
        self._budgets = budgets
        self._reader = reader
        self._signs = ReportedSigns(reader)
        self._checks = checks
        self._hub = hub
        self._log = log
        self._lost = lost
        self._ids = ids
        self._now_us = now_us

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        add_DoorStatusServiceServicer_to_server(self, server)

    async def GetDoorStatus(self, request: GetDoorStatusRequest, _context: Context) -> DoorStatus:  # noqa: N802  # the contract's name
        """Return the last state the vehicle reported."""
        call = current_call()
        capability = call.granted()
        asked_at_us = self._now_us()
        last = await read_status(self._reader, request.vin)
        now_us = self._now_us()
        if capability.unrecorded_since is None:
            self._checks.record(
                StatusRead(
                    check_id=str(uuid.uuid4()),
                    vin=request.vin,
                    time_us=asked_at_us,
                    user_id=capability.subject,
                    actor_id=capability.actor,
                    source=capability.source,
                    correlation_id=call.correlation_id,
                    execution_time_seconds=(now_us - asked_at_us) / 1_000_000,
                )
            )
        lost = self._lost.is_lost(request.vin, last.received_at_us)
        unanswering = self._lost.is_unanswering(request.vin, last.received_at_us)
        return translate.status_of(
            request.vin, last, now_us, self._limits, lost=lost, unanswering=unanswering
        )

    async def GetDoorCapabilities(  # noqa: N802  # the contract's name
        self, request: GetDoorCapabilitiesRequest, _context: Context
    ) -> DoorCapabilities:
        """Return what the vehicle can do, and whether it can be reached."""
        granted = current_call().granted()
        question = WakeUpQuestion(request.vin, granted.subject, granted.role == OWNER)
        reach = await read_reach(self._signs, self._lost, self._budgets, self._now_us, question)
        return capabilities_of(request.vin, self._models.of(request.vin), reach)

    async def WatchDoorUpdates(  # noqa: N802  # the contract's name
        self, request: WatchDoorUpdatesRequest, context: Context
    ) -> AsyncIterator[DoorUpdate]:
        """Update as typed messages."""
        after = None
        if request.HasField("last_event_id"):
            after = self._ids.position_of(request.last_event_id)
        with self._hub.watching(_watcher(request.vin, heartbeats=False)) as watcher:
            # The caller learns that the watch has begun before anything happens, and where.
            place = () if after is not None else ((LAST_EVENT_ID, self._ids.id_of(watcher.joined_at)),)
            await context.send_initial_metadata(place)
            async with contextlib.aclosing(self._updates(watcher, after)) as items:
                async for item in items:
                    if isinstance(item, Heartbeat):
                        continue
                    if isinstance(item, Reset):
                        yield self._reset_message(request.vin, item)
                    elif not may_be_told(watcher, item):
                        continue
                    elif (message := readable(translate.update_message, self._ids, item)) is not None:
                        yield message

    async def StreamDoorUpdates(  # noqa: N802  # the contract's name
        self, request: StreamDoorUpdatesRequest, _context: Context
    ) -> AsyncIterator[HttpBody]:
        """Update as Server-Sent Events."""
        text = current_call().metadata.get(LAST_EVENT_ID) or request.last_event_id
        after = self._ids.position_of(text) if text else None
        with self._hub.watching(_watcher(request.vin, heartbeats=True)) as watcher:
            if after is not None:
                yield translate.resumed_body()
            else:
                place = self._ids.id_of(watcher.joined_at)
                yield translate.opening_body(request.vin, place, self._now_us())
            try:
                async with contextlib.aclosing(self._updates(watcher, after)) as items:
                    async for item in items:
                        if isinstance(item, Heartbeat):
                            yield translate.comment_body("heartbeat")
                        elif isinstance(item, Reset):
                            yield translate.event_body(self._reset_message(request.vin, item))
                        elif not may_be_told(watcher, item):
                            continue
                        elif (body := readable(translate.update_body, self._ids, item)) is not None:
                            yield body
            except (StreamEndedError, LogUnavailableError) as ended:
                # The headers have left: only the stream itself can still say why.
                yield translate.ending_body(ended)

    def _updates(
        self, watcher: Watcher, after: LogPosition | None
    ) -> AsyncGenerator[Update | Reset | Heartbeat, None]:
        return watch_updates(self._log, watcher, after)

    def _reset_message(self, vin: str, reset: Reset) -> DoorUpdate:
        return translate.reset_message(vin, self._ids.id_of(reset.position), self._now_us())


def _watcher(vin: str, *, heartbeats: bool) -> Watcher:
    """Return a reader on the right of this call."""
    return Watcher(vin, watch_right(current_call().granted()), heartbeats=heartbeats)
