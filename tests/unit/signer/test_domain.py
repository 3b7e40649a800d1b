"""When an order may be signed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.signer.domain import Kind, Proof, Verdict, Wish, objection

VIN = "KMHSH81C7LU123456"
ASKED = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
PROOF = Proof(
    "user-123",
    "agent-7",
    VIN,
    frozenset({"door.unlock", "door.cancel", "door.config.write"}),
    ASKED - timedelta(seconds=40),
    ASKED + timedelta(seconds=20),
)
UNLOCK = Wish(
    Kind.DOORS, VIN, "door.unlock", ASKED, "user-123", "agent-7", expires_at=ASKED + timedelta(seconds=30)
)
CANCEL = Wish(Kind.CANCELLATION, VIN, "door.cancel", ASKED)
SETTINGS = Wish(Kind.SETTINGS, VIN, "door.config.write", ASKED)


def after(seconds: float) -> datetime:
    return ASKED + timedelta(seconds=seconds)


@pytest.mark.parametrize("wish", [UNLOCK, CANCEL, SETTINGS], ids=lambda wish: wish.kind.name)
def test_what_was_proved_to_be_asked_for_may_be_signed(wish: Wish) -> None:
    assert objection(wish, PROOF, after(1)) is None


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
    assert objection(wish, PROOF, after(last - 0.001)) is None
    assert objection(wish, PROOF, after(last)) is Verdict.TOO_OLD


def test_settings_wait_for_a_vehicle_for_as_long_as_it_is_away() -> None:
    assert objection(SETTINGS, PROOF, ASKED + timedelta(days=400)) is None


def test_an_emergency_is_signed_for_those_who_asked_for_one() -> None:
    emergency, proof = replace(UNLOCK, emergency=True), replace(PROOF, emergency=True)
    assert objection(emergency, PROOF, after(1)) is Verdict.NOT_PROVEN
    assert objection(emergency, proof, after(1)) is None
    assert objection(UNLOCK, proof, after(1)) is None
