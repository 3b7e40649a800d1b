"""What a vehicle can do, as it is told; and what a last report says of whether it can be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecarus.remotecontrol.door.v1 import door_capabilities_pb2
from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2

from services.platform.times import set_microseconds
from services.status.domain.doors import stale_at_us
from services.status.domain.reachability import LastSign, ReachabilityState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.status.domain.reachability import VehicleReach
    from services.status.usecases.door_status import StatusReader
    from services.vehicle_models.model import VehicleModel

_SHUT_OFF: Mapping[int, ReachabilityState] = {
    body_pb2.REMOTE_ACCESS_DISABLED: ReachabilityState.REMOTE_ACCESS_DISABLED,
    body_pb2.REMOTE_ACCESS_PRIVACY_MODE: ReachabilityState.PRIVACY_MODE,
}
_STATES = door_capabilities_pb2.DoorReachability.State.Value


class ReportedSigns:
    """usecases.capabilities.LastSigns, from the last reports."""

    def __init__(self, reader: StatusReader) -> None:
        self._reader = reader

    async def last_sign(self, vin: str) -> LastSign | None:
        """Return what the last report says; None before the first."""
        last = await self._reader.last_report(vin)
        if last is None:
            return None
        report = report_pb2.StatusReport.FromString(last.payload)
        stale = stale_at_us(last.received_at_us, report.reporting_interval_seconds)
        return LastSign(
            last.received_at_us, stale, report.going_to_sleep, _SHUT_OFF.get(report.remote_access)
        )


def capabilities_of(
    vin: str, model: VehicleModel, reach: VehicleReach
) -> door_capabilities_pb2.DoorCapabilities:
    """Return what a vehicle of this model can do, and whether it can be reached."""
    message = door_capabilities_pb2.DoorCapabilities(
        vin=vin,
        model=model.name,
        doors=[
            door_capabilities_pb2.DoorCapability(
                door_id=door.door_id,
                remote_lock=door.remote_lock and bool(model.lock_modes),
                remote_unlock=door.remote_unlock and bool(model.unlock_modes),
                sliding=door.sliding,
                lock_sensor=door.lock_sensor,
                open_sensor=door.open_sensor,
                window_sensor=door.window_sensor,
                child_lock=door.child_lock,
            )
            for door in model.doors
        ],
        unlock_modes=model.unlock_modes,
        lock_modes=model.lock_modes,
        functions=model.functions,
        setting_unlock_modes=model.setting_unlock_modes,
        reachability=door_capabilities_pb2.DoorReachability(state=_STATES.Value(reach.state.value)),
    )
    if reach.since_us is not None:
        set_microseconds(message.reachability.since, reach.since_us)
    if reach.wake_up_at_us is not None:
        set_microseconds(message.reachability.wake_up_at, reach.wake_up_at_us)
    return message
