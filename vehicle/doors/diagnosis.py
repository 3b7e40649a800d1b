"""The car's self-check: its components, their health and fault codes. Pure.

Fault codes (listed in the README): B1A01 to B1A05 for the lock actuators, B1A10 for the lock module.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from vehicle.doors.body import Body, DoorName
from vehicle.doors.safety import LOW_BATTERY_PERCENT

LAST_MAINTENANCE = datetime(2025, 6, 15, tzinfo=UTC)
"""When the simulated cars left the workshop."""

SUPPLY_VOLTAGE_LOW = "B1A10"


class ComponentCondition(StrEnum):
    """A component's condition."""

    ACTIVE = "ACTIVE"
    ERROR = "ERROR"
    MAINTENANCE_REQUIRED = "MAINTENANCE_REQUIRED"


@dataclass(frozen=True, slots=True)
class ComponentReading:
    """One component; `health` is a score, 0-100."""

    component_id: str
    name: str
    condition: ComponentCondition
    health: int
    last_maintenance: datetime
    error_codes: tuple[str, ...]


_ACTUATORS = (
    (DoorName.DRIVER, "driver_actuator_01", "Driver Door Actuator", "B1A01"),
    (DoorName.PASSENGER, "passenger_actuator_01", "Passenger Door Actuator", "B1A02"),
    (DoorName.REAR_LEFT, "rear_left_actuator_01", "Rear Left Door Actuator", "B1A03"),
    (DoorName.REAR_RIGHT, "rear_right_actuator_01", "Rear Right Door Actuator", "B1A04"),
    (DoorName.TRUNK, "trunk_actuator_01", "Trunk Actuator", "B1A05"),
)


def components(body: Body) -> tuple[ComponentReading, ...]:
    """Return every component, the actuators of the doors it has first."""
    actuators = tuple(
        ComponentReading(component_id, name, ComponentCondition.ERROR, 0, LAST_MAINTENANCE, (code,))
        if door in body.failed_actuators
        else ComponentReading(component_id, name, ComponentCondition.ACTIVE, 98, LAST_MAINTENANCE, ())
        for door, component_id, name, code in _ACTUATORS
        if door in body.doors
    )
    return (*actuators, _lock_module(body))


def _lock_module(body: Body) -> ComponentReading:
    undersupplied = body.battery_percent < LOW_BATTERY_PERCENT
    return ComponentReading(
        "lock_module_01",
        "Door Lock Module",
        ComponentCondition.MAINTENANCE_REQUIRED if undersupplied else ComponentCondition.ACTIVE,
        60 if undersupplied else 95,
        LAST_MAINTENANCE,
        (SUPPLY_VOLTAGE_LOW,) if undersupplied else (),
    )
