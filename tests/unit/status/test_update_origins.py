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
from services.diagnostics.domain import diagnosis
from services.live_updates.origins import UNKNOWN_FAULT, is_accepted, shown_code
from services.status.adapters.event_ids import EventIds
from services.status.adapters.translate import update_body, update_message
from services.status.domain.updates import ForeignUpdateError, LogPosition, Update

VIN, OTHER = "KMHSH81C7LU123456", "KMHSH81C7LU654321"
IDS = EventIds(bytes(32))


def known_codes() -> set[str]:
    """The catalogue as the service has it that tells of components, but for what any code becomes."""
    return {*diagnosis._KNOWN, diagnosis.SUMMARY_CODE}  # it is to be the same


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


@pytest.mark.parametrize(
    "code", [*sorted(known_codes()), "COMMAND_CONTRADICTED", "UPDATES_COALESCED", "U0140", "B1C22-4F"]
)
def test_codes_of_the_catalogue_and_numbers_are_shown(code: str) -> None:
    assert shown_code(code) == code


@pytest.mark.parametrize(
    "code", ["", "FIRE", "CALL 0900-1234", "https://x.y/1", "B1A01\n", "9" * 9, "B1A0\u0661"]
)
def test_other_codes_are_unknown(code: str) -> None:
    assert shown_code(code) == UNKNOWN_FAULT


def test_an_alert_is_one_line_of_what_people_may_read() -> None:
    told = DoorUpdate(type="SYSTEM_ALERT", vin=VIN)
    told.system_alert.code = "CALL 0900"
    told.system_alert.message = "Call\n0900\u202e" + "1" * 1_000
    told.system_alert.component_id = "c" * 1_000
    update = Update(LogPosition("e", 1), told.SerializeToString(), kept_update_subject("diagnostics", VIN))
    alert = update_message(IDS, update).system_alert
    assert (alert.code, len(alert.component_id)) == (UNKNOWN_FAULT, 64)
    assert alert.message.startswith("Call 0900 1")
    assert len(alert.message) == 300


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
        with pytest.raises(ForeignUpdateError):
            render(IDS, Update(at, fault, subject))
