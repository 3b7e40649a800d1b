"""When an order may be signed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.signer.domain import (
    AuthorizationEvidence,
    CurrentRight,
    OrderKind,
    SigningOutcome,
    SigningRequest,
    beyond_the_right,
    denial_reason,
    verdict_of,
)

VIN = "KMHSH81C7LU123456"
ASKED = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
PROOF = AuthorizationEvidence(
    "user-123",
    "agent-7",
    VIN,
    frozenset({"door.unlock"}),
    ASKED - timedelta(seconds=40),
    ASKED + timedelta(seconds=20),
)
UNLOCK = SigningRequest(
    OrderKind.DOORS,
    VIN,
    "door.unlock",
    ASKED,
    "user-123",
    "agent-7",
    expires_at=ASKED + timedelta(seconds=30),
)
CANCEL = SigningRequest(OrderKind.CANCELLATION, VIN, "door.cancel", ASKED)
SETTINGS = SigningRequest(OrderKind.SETTINGS, VIN, "door.config.write", ASKED)


def proof_of(signing_request: SigningRequest) -> AuthorizationEvidence:
    return replace(PROOF, actions=frozenset({signing_request.action}))


def after(seconds: float) -> datetime:
    return ASKED + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "signing_request", [UNLOCK, CANCEL, SETTINGS], ids=lambda signing_request: signing_request.kind.name
)
def test_what_was_proved_to_be_asked_for_may_be_signed(signing_request: SigningRequest) -> None:
    assert denial_reason(signing_request, proof_of(signing_request), after(1)) is None


@pytest.mark.parametrize(
    "signing_request", [UNLOCK, CANCEL], ids=lambda signing_request: signing_request.kind.name
)
def test_a_capability_of_many_actions_proves_none_of_them(signing_request: SigningRequest) -> None:
    proof = replace(PROOF, actions=frozenset({"door.unlock", "door.cancel", "door.config.write"}))
    assert denial_reason(signing_request, proof, after(1)) is SigningOutcome.NOT_PROVEN
    # Settings may have waited for their vehicle since such capabilities were made.
    assert denial_reason(SETTINGS, proof, after(1)) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"vin": "KMHSH81C7LU654321"},
        {"action": "door.lock"},
        {"subject": "user-456"},
        {"actor": "user-123"},
        {"asked_at": after(26)},
        {"asked_at": after(-46)},
        {"expires_at": after(30.001)},
    ],
    ids=str,
)
def test_another_vehicle_action_person_or_time_is_not_proven(changed: dict[str, Any]) -> None:
    assert denial_reason(replace(UNLOCK, **changed), PROOF, after(1)) is SigningOutcome.NOT_PROVEN


@pytest.mark.parametrize(
    ("signing_request", "last"),
    [(UNLOCK, 30), (replace(UNLOCK, expires_at=after(10)), 10), (CANCEL, 60)],
    ids=["unlock", "shorter", "cancellation"],
)
def test_nothing_is_signed_after_its_time(signing_request: SigningRequest, last: float) -> None:
    assert denial_reason(signing_request, proof_of(signing_request), after(last - 0.001)) is None
    assert denial_reason(signing_request, proof_of(signing_request), after(last)) is SigningOutcome.TOO_OLD


def test_settings_wait_for_a_vehicle_for_as_long_as_it_is_away() -> None:
    assert denial_reason(SETTINGS, proof_of(SETTINGS), ASKED + timedelta(days=400)) is None


def test_what_is_asked_for_in_the_future_is_not_proven() -> None:
    assert denial_reason(UNLOCK, PROOF, after(-5)) is None  # as far as two clocks may be apart
    assert denial_reason(UNLOCK, PROOF, after(-5.001)) is SigningOutcome.NOT_PROVEN


def test_the_clouds_own_cancellation_is_signed_where_the_right_has_ended_and_only_there() -> None:
    cancelled = replace(UNLOCK, cancelled_at=after(50))
    assert denial_reason(cancelled, PROOF, after(51)) is None  # whatever the age of the order
    assert denial_reason(cancelled, PROOF, after(110)) is SigningOutcome.TOO_OLD
    assert denial_reason(cancelled, PROOF, after(44)) is SigningOutcome.NOT_PROVEN
    assert (
        denial_reason(replace(cancelled, subject="user-456"), PROOF, after(51)) is SigningOutcome.NOT_PROVEN
    )
    assert verdict_of(cancelled, None, after(51)) is SigningOutcome.SIGNED
    assert verdict_of(cancelled, CurrentRight(1, after(51)), after(51)) is SigningOutcome.SIGNED
    assert verdict_of(cancelled, CurrentRight(1), after(51)) is SigningOutcome.NOT_ALLOWED


def test_an_order_without_right_is_not_allowed() -> None:
    assert verdict_of(UNLOCK, CurrentRight(1), after(1)) is SigningOutcome.SIGNED
    assert verdict_of(UNLOCK, CurrentRight(1, after(1)), after(1)) is SigningOutcome.NOT_ALLOWED
    assert verdict_of(UNLOCK, None, after(1)) is SigningOutcome.NOT_ALLOWED


@pytest.mark.parametrize(
    ("signing_request", "ends_at", "seconds"),
    [
        (UNLOCK, None, 0),
        (UNLOCK, after(31), 0),
        (UNLOCK, after(12), 18),
        (SETTINGS, after(12), 50),  # signed at 2, valid for 60: it ends at 12 all the same
        (CANCEL, after(62), 0),
    ],
    ids=["no end", "ends later", "unlock", "settings", "cancellation"],
)
def test_no_order_outlives_the_right_to_it(
    signing_request: SigningRequest, ends_at: datetime | None, seconds: float
) -> None:
    assert beyond_the_right(signing_request, CurrentRight(1, ends_at), after(2)) == timedelta(seconds=seconds)


def test_an_emergency_is_signed_for_those_who_asked_for_one() -> None:
    emergency, proof = replace(UNLOCK, emergency=True), replace(PROOF, emergency=True)
    assert denial_reason(emergency, PROOF, after(1)) is SigningOutcome.NOT_PROVEN
    assert denial_reason(emergency, proof, after(1)) is None
    assert denial_reason(UNLOCK, proof, after(1)) is None
