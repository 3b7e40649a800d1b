"""Which settings weaken security, by the contract's own options, and what a capability says of a sign-in."""

from __future__ import annotations

from typing import Any

import pytest
from ecarus.remotecontrol.door.v1 import door_config_pb2

from services.platform.step_up import StepUpState, WeakeningRules, claims_of, state_in

RULES = WeakeningRules(door_config_pb2.DoorConfigUpdate.DESCRIPTOR)
FACTORY: dict[str, Any] = {
    "auto_lock_enabled": True,
    "auto_lock_delay": 30,
    "unlock_mode": "SEQUENCE",
    "child_lock_enabled": True,
    "speed_based_lock_enabled": True,
    "speed_lock_threshold": 15,
    "parking_auto_unlock": False,
}


def test_every_setting_says_what_weakens_it() -> None:
    settable = {field.name for field in door_config_pb2.DoorConfigUpdate.DESCRIPTOR.fields}
    assert RULES.fields == FACTORY.keys() == settable - {"updated_time", "application"}


@pytest.mark.parametrize(
    ("name", "weaker", "stronger"),
    [
        ("auto_lock_enabled", False, True),
        ("auto_lock_delay", 31, 29),
        ("unlock_mode", "ALL", "DRIVER_ONLY"),
        ("child_lock_enabled", False, True),
        ("speed_based_lock_enabled", False, True),
        ("speed_lock_threshold", 16, 14),
        ("parking_auto_unlock", True, False),
    ],
)
def test_only_the_one_direction_does(name: str, weaker: object, stronger: object) -> None:
    assert RULES.weakened(FACTORY, {**FACTORY, name: weaker}) == [name]
    assert RULES.weakened(FACTORY, {**FACTORY, name: stronger}) == []
    assert RULES.weakened({**FACTORY, name: weaker}, {**FACTORY, name: weaker}) == []
    assert RULES.weakened({**FACTORY, name: weaker}, {**FACTORY, name: stronger}) == []


@pytest.mark.parametrize(
    "state",
    [
        StepUpState(0.0, ("a", "b"), 300),
        StepUpState(1_800_000_000.5, ("a",), 1),
        StepUpState(float("inf")),
        StepUpState(0.0, ("a",), 1, "DPoP", 'algs="ES256"'),
    ],
)
def test_a_capability_says_it_and_it_is_read_back(state: StepUpState) -> None:
    assert state_in(claims_of(state)) == state
    assert state_in({}) is None


def test_an_api_key_is_not_asked_to_sign_in() -> None:
    assert StepUpState(0.0).refusal("To weaken a").reason.code == "ACTION_NOT_GRANTED"
    challenged = StepUpState(0.0, ("a", "b"), 300).refusal("To weaken a")
    assert challenged.reason.code == "STEP_UP_REQUIRED"
    assert 'acr_values="a b", max_age="300"' in challenged.headers["www-authenticate"]


def test_the_challenge_is_of_the_scheme_that_the_token_came_by() -> None:
    bearer = StepUpState(0.0, ("a",), 300).refusal("To weaken a").headers["www-authenticate"]
    assert bearer.startswith('Bearer error="insufficient_user_authentication"')
    bound = StepUpState(0.0, ("a",), 300, "DPoP", 'algs="ES256"').refusal("To weaken a").headers
    assert bound["www-authenticate"] == f'DPoP{bearer.removeprefix("Bearer")}, algs="ES256"'
