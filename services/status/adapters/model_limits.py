"""What of a vehicle's report its model does not have, left out of it: it is shown nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.status.domain.doors import DOOR_NAMES
from services.vehicle_models.model import DEFAULT_MODEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2

    from services.vehicle_models.catalogue import VehicleModels
    from services.vehicle_models.model import DoorEquipment, VehicleModel

_MOST_KEPT = 1_024
_MEMBERS = {
    "locked": "lock_sensor",
    "open": "open_sensor",
    "window_open": "window_sensor",
    "child_lock": "child_lock",
}
"""What of a door is told, by what its model must have."""


class ModelLimits:
    """Leaves out of reports what the vehicle's model does not have. Of a vehicle whose model nobody knows, nothing."""

    def __init__(self, models: VehicleModels) -> None:
        self._models = models
        self._doors: dict[int, tuple[VehicleModel, Mapping[int, DoorEquipment]]] = {}

    def leave_out(self, vin: str, report: report_pb2.StatusReport) -> list[str]:
        """Change `report` so, and return the members that it told all the same."""
        model = self._models.of(vin)
        if model is DEFAULT_MODEL:
            return []
        doors = self._doors_of(model)
        beyond: list[str] = []
        kept: list[body_pb2.DoorObservation] = []
        for each in report.doors:
            door = doors.get(each.door)
            if door is None and 0 < each.door <= len(DOOR_NAMES):
                beyond.append(f"doors.{DOOR_NAMES[each.door - 1]}")
                continue
            kept.append(each)
            if door is not None:
                beyond += _without(each, door)
        if len(kept) < len(report.doors):
            # Copied: what is cleared is not there any more.
            copies = [type(each).FromString(each.SerializeToString()) for each in kept]
            report.ClearField("doors")
            report.doors.extend(copies)
        if report.ignition and not model.reports_ignition:
            report.ClearField("ignition")
            beyond.append("ignition")
        if report.HasField("speed_kmh") and not model.reports_speed:
            report.ClearField("speed_kmh")
            beyond.append("speed_kmh")
        if report.gear and not model.reports_gear:
            report.ClearField("gear")
            beyond.append("gear")
        return beyond

    def leave_out_results(self, vin: str, result: report_pb2.CommandResult) -> list[str]:
        """Change what a result says of doors so, and return the doors that it named all the same."""
        model = self._models.of(vin)
        if model is DEFAULT_MODEL:
            return []
        doors = self._doors_of(model)
        missing = [
            each.door for each in result.doors if 0 < each.door <= len(DOOR_NAMES) and each.door not in doors
        ]
        if missing:
            kept = [
                type(each).FromString(each.SerializeToString())
                for each in result.doors
                if each.door not in missing
            ]
            result.ClearField("doors")
            result.doors.extend(kept)
        return [f"result.{DOOR_NAMES[door - 1]}" for door in missing]

    def has(self, vin: str, observation: body_pb2.DoorObservation) -> bool:
        """Return whether the vehicle's model has this door; leave out of it what it cannot tell."""
        model = self._models.of(vin)
        if model is DEFAULT_MODEL:
            return True
        door = self._doors_of(model).get(observation.door)
        if door is not None:
            _without(observation, door)
        return door is not None

    def _doors_of(self, model: VehicleModel) -> Mapping[int, DoorEquipment]:
        """Return its doors by their number in reports."""
        known = self._doors.get(id(model))
        if known is not None:
            return known[1]
        if len(self._doors) >= _MOST_KEPT:  # of models that were read anew
            self._doors.clear()
        doors = {DOOR_NAMES.index(door.door_id) + 1: door for door in model.doors}
        self._doors[id(model)] = (model, doors)  # with the model: its id is not another's while it is kept
        return doors


def _without(observation: body_pb2.DoorObservation, door: DoorEquipment) -> list[str]:
    """Leave out of it what the door cannot tell, and return that."""
    beyond = []
    for member, needs in _MEMBERS.items():
        if not getattr(door, needs) and observation.HasField(member):  # type: ignore[arg-type]  # the names of its fields
            observation.ClearField(member)  # type: ignore[arg-type]  # the names of its fields
            beyond.append(f"doors.{door.door_id}.{member}")
    return beyond
