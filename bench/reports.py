"""A vehicle's status reports as bytes that are ready to publish."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2

from bench.nats_wire import message
from protocol.broker import Event, event_subject
from protocol.envelope import pack

if TYPE_CHECKING:
    from datetime import datetime

_DOORS = (
    body_pb2.DOOR_ID_DRIVER,
    body_pb2.DOOR_ID_PASSENGER,
    body_pb2.DOOR_ID_REAR_LEFT,
    body_pb2.DOOR_ID_REAR_RIGHT,
    body_pb2.DOOR_ID_TRUNK,
    body_pb2.DOOR_ID_HOOD,
)


def report_message(
    vin: str,
    boot_id: str,
    sequence: int,
    observed_at: datetime,
    *,
    speed_kmh: float = 0.0,
    driver_open: bool = False,
) -> bytes:
    """A whole report of six doors in its envelope, as NATS protocol bytes.

    Without a change of its doors a report makes no live update: it is only kept.
    """
    report = report_pb2.StatusReport(
        boot_id=boot_id,
        sequence=sequence,
        doors=[
            body_pb2.DoorObservation(
                door=door, locked=not driver_open, open=driver_open and door == body_pb2.DOOR_ID_DRIVER
            )
            for door in _DOORS
        ],
        ignition=body_pb2.IGNITION_ON if speed_kmh else body_pb2.IGNITION_OFF,
        speed_kmh=speed_kmh,
        gear=body_pb2.GEAR_D if speed_kmh else body_pb2.GEAR_P,
        reporting_interval_seconds=30,
    )
    report.observed_at.FromDatetime(observed_at)
    message_id = f"{vin}-{boot_id}-{sequence}"
    return message(event_subject(vin, Event.STATUS), message_id, pack(vin, message_id, report, observed_at))
