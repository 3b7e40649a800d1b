"""The table of who tells readers of what, and what is made of an update that is not its publisher's."""

from __future__ import annotations

import pytest
from ecarus.remotecontrol.door.v1.door_update_pb2 import DoorUpdate

from protocol.subjects import (
    UNSTAMPED_ORIGIN,
    kept_update_subject,
    origin_of_update,
    update_subject,
    vin_of,
)
from services import registry
from services.status.adapters.event_ids import EventIds
from services.status.adapters.translate import update_body, update_message
from services.status.domain.doors import ForeignUpdate, LogPosition, Update
from services.status.domain.update_origins import is_accepted

VIN, OTHER = "KMHSH81C7LU123456", "KMHSH81C7LU654321"
IDS = EventIds(bytes(32))
DOOR, COMMAND = ("DOOR_STATUS_UPDATE", "door_status", ""), ("COMMAND_STATUS_UPDATE", "command_status", "")
CONTRADICTED, COALESCED, RESET, FAULT, GIVEN = (
    ("SYSTEM_ALERT", "system_alert", code)
    for code in ("COMMAND_CONTRADICTED", "UPDATES_COALESCED", "UPDATES_RESET", "U0140", "ACCESS_BEGUN")
)
TELLS = {
    "status": {DOOR, CONTRADICTED, COALESCED},
    "command": {COMMAND},
    "diagnostics": {FAULT},
    "access": {GIVEN},
    UNSTAMPED_ORIGIN: {DOOR, COMMAND, CONTRADICTED, COALESCED, FAULT},
}


@pytest.mark.parametrize("origin", [*registry.NAMES, UNSTAMPED_ORIGIN, "", "edge"])
def test_each_kind_is_believed_of_the_service_whose_it_is(origin: str) -> None:
    for told in (DOOR, COMMAND, CONTRADICTED, COALESCED, RESET, FAULT, GIVEN, ("STREAM_OPENED", None, "")):
        assert is_accepted(origin, *told) == (told in TELLS.get(origin, ())), told


def test_a_kind_carries_its_own_data() -> None:
    for origin, kind in (
        ("diagnostics", "SYSTEM_ALERT"),
        ("status", "DOOR_STATUS_UPDATE"),
        ("status", "SYSTEM_ALERT"),
    ):
        for member in ("command_status", None):
            assert not is_accepted(origin, kind, member, "U0140")


def test_a_subject_says_who_told_and_of_which_vehicle() -> None:
    kept = kept_update_subject("command", VIN)
    assert (origin_of_update(kept), vin_of(kept)) == ("command", VIN)
    assert origin_of_update(update_subject(VIN)) == UNSTAMPED_ORIGIN
    for other in ("", "door", "door.command", f"door.command.{VIN}.x", f"room.command.{VIN}"):
        assert origin_of_update(other) == ""


@pytest.mark.parametrize("render", [update_message, update_body])
def test_what_is_not_its_publisher_s_is_not_rendered(render: object) -> None:
    assert callable(render)
    fault = DoorUpdate(type="SYSTEM_ALERT", vin=VIN, system_alert={"code": "U0140"}).SerializeToString()
    at = LogPosition("e", 1)
    assert render(IDS, Update(at, fault, kept_update_subject("diagnostics", VIN)))
    for subject in (kept_update_subject("command", VIN), kept_update_subject("diagnostics", OTHER)):
        with pytest.raises(ForeignUpdate):
            render(IDS, Update(at, fault, subject))
