"""When an order may be signed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.signer.domain import Kind, Proof, Right, Verdict, Wish, beyond_the_right, objection, verdict_of

VIN = "KMHSH81C7LU123456"
ASKED = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
PROOF = Proof(
    "user-123",
    "agent-7",
    VIN,
    frozenset({"door.unlock"}),
    ASKED - timedelta(seconds=40),
    ASKED + timedelta(seconds=20),
)
UNLOCK = Wish(
    Kind.DOORS, VIN, "door.unlock", ASKED, "user-123", "agent-7", expires_at=ASKED + timedelta(seconds=30)
)
CANCEL = Wish(Kind.CANCELLATION, VIN, "door.cancel", ASKED)
SETTINGS = Wish(Kind.SETTINGS, VIN, "door.config.write", ASKED)


def proof_of(wish: Wish) -> Proof:
    return replace(PROOF, actions=frozenset({wish.action}))


def after(seconds: float) -> datetime:
    return ASKED + timedelta(seconds=seconds)


@pytest.mark.parametrize("wish", [UNLOCK, CANCEL, SETTINGS], ids=lambda wish: wish.kind.name)
def test_what_was_proved_to_be_asked_for_may_be_signed(wish: Wish) -> None:
    assert objection(wish, proof_of(wish), after(1)) is None


@pytest.mark.parametrize("wish", [UNLOCK, CANCEL], ids=lambda wish: wish.kind.name)
def test_a_capability_of_many_actions_proves_none_of_them(wish: Wish) -> None:
    proof = replace(PROOF, actions=frozenset({"door.unlock", "door.cancel", "door.config.write"}))
    assert objection(wish, proof, after(1)) is Verdict.NOT_PROVEN
    # Settings may have waited for their vehicle since such capabilities were made.
    assert objection(SETTINGS, proof, after(1)) is None


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
    assert objection(replace(UNLOCK, **changed), PROOF, after(1)) is Verdict.NOT_PROVEN


@pytest.mark.parametrize(
    ("wish", "last"),
    [(UNLOCK, 30), (replace(UNLOCK, expires_at=after(10)), 10), (CANCEL, 60)],
    ids=["unlock", "shorter", "cancellation"],
)
def test_nothing_is_signed_after_its_time(wish: Wish, last: float) -> None:
    assert objection(wish, proof_of(wish), after(last - 0.001)) is None
    assert objection(wish, proof_of(wish), after(last)) is Verdict.TOO_OLD


def test_settings_wait_for_a_vehicle_for_as_long_as_it_is_away() -> None:
    assert objection(SETTINGS, proof_of(SETTINGS), ASKED + timedelta(days=400)) is None


def test_what_is_asked_for_in_the_future_is_not_proven() -> None:
    assert objection(UNLOCK, PROOF, after(-5)) is None  # as far as two clocks may be apart
    assert objection(UNLOCK, PROOF, after(-5.001)) is Verdict.NOT_PROVEN


def test_the_clouds_own_cancellation_is_signed_where_the_right_has_ended_and_only_there() -> None:
    withdrawn = replace(UNLOCK, withdrawn_at=after(50))
    assert objection(withdrawn, PROOF, after(51)) is None  # whatever the age of the order
    assert objection(withdrawn, PROOF, after(110)) is Verdict.TOO_OLD
    assert objection(withdrawn, PROOF, after(44)) is Verdict.NOT_PROVEN
    assert objection(replace(withdrawn, subject="user-456"), PROOF, after(51)) is Verdict.NOT_PROVEN
    assert verdict_of(withdrawn, None, after(51)) is Verdict.SIGNED
    assert verdict_of(withdrawn, Right(1, after(51)), after(51)) is Verdict.SIGNED
    assert verdict_of(withdrawn, Right(1), after(51)) is Verdict.NOT_ALLOWED


def test_an_order_without_right_is_not_allowed() -> None:
    assert verdict_of(UNLOCK, Right(1), after(1)) is Verdict.SIGNED
    assert verdict_of(UNLOCK, Right(1, after(1)), after(1)) is Verdict.NOT_ALLOWED
    assert verdict_of(UNLOCK, None, after(1)) is Verdict.NOT_ALLOWED


@pytest.mark.parametrize(
    ("wish", "ends_at", "seconds"),
    [
        (UNLOCK, None, 0),
        (UNLOCK, after(31), 0),
        (UNLOCK, after(12), 18),
        (SETTINGS, after(12), 50),  # signed at 2, valid for 60: it ends at 12 all the same
        (CANCEL, after(62), 0),
    ],
    ids=["no end", "ends later", "unlock", "settings", "cancellation"],
)
def test_no_order_outlives_the_right_to_it(wish: Wish, ends_at: datetime | None, seconds: float) -> None:
    assert beyond_the_right(wish, Right(1, ends_at), after(2)) == timedelta(seconds=seconds)


def test_an_emergency_is_signed_for_those_who_asked_for_one() -> None:
    emergency, proof = replace(UNLOCK, emergency=True), replace(PROOF, emergency=True)
    assert objection(emergency, PROOF, after(1)) is Verdict.NOT_PROVEN
    assert objection(emergency, proof, after(1)) is None
    assert objection(UNLOCK, proof, after(1)) is None
