"""Which decisions of access have an entry of their own: all, but for whoever sends what is refused without end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from services.access.adapters.decision_log import DecisionLog
from services.access.domain.accounts import Caller, Source
from services.access.domain.decisions import AccessDecision

if TYPE_CHECKING:
    from services.platform.audit_entry import AuditRecord

VIN = "KMHSH81C7LU123456"
T0 = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)


class Harness:
    """A log of at most three refusals of one caller in a minute."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.noted: list[AuditRecord] = []
        self.lost = 0
        self.log = DecisionLog(
            self.noted.append, self.count, lambda: T0, lambda: self.seconds, most_refused_of_one=3
        )

    def count(self) -> None:
        self.lost += 1

    def decided(self, who: str = "", *, refused_for: str = "", network: str = "net-1") -> None:
        caller = Caller(who, who, Source.WEB, frozenset({"otp", "pwd"}), acr="two") if who else None
        self.log.decided(
            AccessDecision("door.unlock", "c-1", network, caller, VIN, "EMERGENCY", "OWNER", refused_for)
        )


@pytest.fixture
def house() -> Harness:
    return Harness()


def test_a_decision_says_who_asked_for_what_and_how_they_had_signed_in(house: Harness) -> None:
    house.decided("user-123")
    (record,) = house.noted
    assert (record.kind, record.subject, record.resource, record.rule) == (
        "ACCESS_ALLOWED",
        "user-123",
        VIN,
        "OWNER",
    )
    assert record.factors == ("otp", "pwd", "acr:two")


def test_who_is_refused_without_end_is_counted(house: Harness) -> None:
    for _ in range(5):
        house.decided("user-456", refused_for="VEHICLE_NOT_FOUND")
    house.decided("user-123", refused_for="ACTION_NOT_GRANTED")
    assert [record.subject for record in house.noted] == ["user-456"] * 3 + ["user-123"]
    assert house.lost == 2
    for _ in range(20):  # what is allowed is bounded by rates
        house.decided("user-456")
    assert house.lost == 2
    house.seconds += 60
    house.decided("user-456", refused_for="VEHICLE_NOT_FOUND")
    assert house.lost == 2


def test_of_nobody_the_network_counts_and_no_vehicle_is_told(house: Harness) -> None:
    for number in range(5):
        house.decided(refused_for="TOKEN_INVALID", network=f"net-{number % 2}")
    assert house.lost == 0
    assert {(record.resource, record.subject) for record in house.noted} == {("", "")}
    house.decided(refused_for="TOKEN_INVALID", network="net-0")
    assert house.lost == 1
