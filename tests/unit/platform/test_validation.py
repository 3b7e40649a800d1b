"""What the contract's rules say of a request is said in the caller's words."""

from __future__ import annotations

from ecarus.remotecontrol.door.v1 import door_command_pb2, door_command_service_pb2, door_config_pb2
from ecarus.remotecontrol.door.v1.door_config_service_pb2 import UpdateDoorConfigRequest

from services.platform.validation import violations_of

VIN = "KMHSH81C7LU123456"
HISTORY = door_command_service_pb2.ListCommandHistoryRequest


def test_words_that_are_not_allowed_are_answered_with_those_that_are() -> None:
    request = HISTORY(
        vin=VIN,
        action=door_command_pb2.CommandAction.Value.UNSPECIFIED,
        status=door_command_pb2.CommandStatus.Value.PENDING,
        source=99,  # type: ignore[arg-type]  # what no enum has
    )
    said = {violation.field: violation.reason for violation in violations_of(request, None)}
    assert said["status"] == "must be one of SUCCESS, FAILED, TIMEOUT, CANCELLED"
    assert said["source"].startswith("must be one of MOBILE_APP, ")
    assert "UNLOCK" in said["action"]
    assert not any(digit in reason for reason in said.values() for digit in "0123456789")


def test_so_it_is_within_a_body_and_for_a_word_that_there_is_not() -> None:
    unlock = door_command_service_pb2.UnlockDoorsRequest(
        vin=VIN,
        unlock=door_command_pb2.DoorUnlock(
            target_doors=["all"],
            unlock_mode=9,  # type: ignore[arg-type]  # what no enum has
        ),
    )
    [violation] = violations_of(unlock, "unlock")
    assert violation.field == "unlockMode"
    assert violation.reason.startswith("must be one of NORMAL, ")
    config = UpdateDoorConfigRequest(vin=VIN, config=door_config_pb2.DoorConfigUpdate())
    config.config.unlock_mode = 0
    [violation] = violations_of(config, "config")
    assert violation.reason.startswith("must be one of ")


def test_other_rules_keep_their_own_words() -> None:
    [violation] = violations_of(HISTORY(vin="short"), None)
    assert violation.field == "vin"
    assert "pattern" in violation.reason
