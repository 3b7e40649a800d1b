"""What stands in a command's way, and which end it can have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.command.domain.commands import (
    LOCKABLE_DOORS,
    AdvisoryState,
    CancelRequest,
    CommandAction,
    DoorAction,
    DoorResult,
    Ending,
    FailureReason,
    Mode,
    Status,
)

NOW = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
MOVING, ENGINE, OPEN = FailureReason.VEHICLE_MOVING, FailureReason.ENGINE_ON, FailureReason.DOOR_OPEN


def order(action: CommandAction, mode: Mode, *doors: str) -> DoorAction:
    return DoorAction(action, doors or ("all",), mode)


@pytest.mark.parametrize(
    ("action", "mode", "moving", "engine", "door_open"),
    [
        (CommandAction.UNLOCK, Mode.NORMAL, MOVING, ENGINE, None),
        (CommandAction.UNLOCK, Mode.EMERGENCY, MOVING, None, None),
        (CommandAction.LOCK, Mode.NORMAL, None, None, OPEN),
        (CommandAction.LOCK, Mode.SECURE, MOVING, ENGINE, OPEN),
    ],
)
def test_what_forbids_which_order(
    action: CommandAction,
    mode: Mode,
    moving: FailureReason | None,
    engine: FailureReason | None,
    door_open: FailureReason | None,
) -> None:
    asked = order(action, mode)
    assert AdvisoryState(NOW, speed_kmh=0.1).forbids(asked, NOW) is moving
    assert AdvisoryState(NOW, engine_on=True).forbids(asked, NOW) is engine
    assert AdvisoryState(NOW, open_doors=frozenset({"trunk"})).forbids(asked, NOW) is door_open


def test_a_door_that_is_not_asked_for_is_in_nobodys_way() -> None:
    condition = AdvisoryState(NOW, open_doors=frozenset({"hood", "trunk"}))
    assert condition.forbids(order(CommandAction.LOCK, Mode.NORMAL, "driver"), NOW) is None


def test_a_condition_is_trusted_for_fifteen_seconds() -> None:
    condition, asked = AdvisoryState(NOW, speed_kmh=9), order(CommandAction.UNLOCK, Mode.NORMAL)
    assert condition.forbids(asked, NOW + timedelta(seconds=15)) is MOVING
    assert condition.forbids(asked, NOW + timedelta(seconds=15.001)) is None


def test_only_the_same_request_has_the_same_fingerprint() -> None:
    asked = order(CommandAction.UNLOCK, Mode.NORMAL, "driver", "trunk")
    assert asked.fingerprint() == order(CommandAction.UNLOCK, Mode.NORMAL, "driver", "trunk").fingerprint()
    assert asked.fingerprint() == order(CommandAction.UNLOCK, Mode.NORMAL, "trunk", "driver").fingerprint()
    others = [
        order(CommandAction.LOCK, Mode.NORMAL, "driver", "trunk"),
        order(CommandAction.UNLOCK, Mode.EMERGENCY, "driver", "trunk"),
        order(CommandAction.UNLOCK, Mode.NORMAL, "driver"),
    ]
    assert asked.fingerprint() not in {other.fingerprint() for other in others}
    assert (
        CancelRequest("c", "Timeout", True).fingerprint()
        != CancelRequest("c", "Timeout", False).fingerprint()
    )


def success(locked: bool, *doors: str) -> Ending:
    return Ending(
        Status.SUCCESS, NOW, "", door_results=tuple(DoorResult(d, success=True, locked=locked) for d in doors)
    )


def test_a_success_answers_for_every_door_that_was_named_and_no_other() -> None:
    named = order(CommandAction.UNLOCK, Mode.NORMAL, "driver", "trunk")
    assert named.contradicted_by(success(False, "driver", "trunk")) is None
    for contradiction in (
        success(False, "driver"),
        success(False, "driver", "trunk", "rearLeft"),
        success(False, "driver", "driver", "trunk"),
    ):
        assert named.contradicted_by(contradiction)


def test_which_doors_all_means_is_the_vehicles_to_say() -> None:
    everything = order(CommandAction.UNLOCK, Mode.NORMAL)
    assert everything.contradicted_by(success(False, "driver")) is None
    assert everything.contradicted_by(success(False, *LOCKABLE_DOORS)) is None
    assert everything.contradicted_by(success(False, "hood"))


def test_a_failure_may_have_left_doors_as_they_were() -> None:
    stuck = DoorResult("driver", success=False, locked=True, failure_reason=FailureReason.ACTUATOR_FAULT)
    ending = Ending(Status.FAILED, NOW, "", FailureReason.ACTUATOR_FAULT, door_results=(stuck,))
    assert order(CommandAction.UNLOCK, Mode.NORMAL, "driver", "trunk").contradicted_by(ending) is None
