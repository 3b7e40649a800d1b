"""Which decisions of access have an entry of their own: all, but for whoever sends what is refused without end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
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
    """A log of at most three refusals of one caller in a minute, of four callers, ten of nobody, and three who look."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.noted: list[AuditRecord] = []
        self.lost = 0
        self.made = 0
        self.log = DecisionLog(
            self.noted.append,
            self.count,
            self.now,
            lambda: self.seconds,
            most_refused_of_one=3,
            most_refused_of_nobody=10,
            most_callers_refused=4,
            most_looking=3,
        )

    def now(self) -> datetime:
        self.made += 1
        return T0 + timedelta(seconds=self.seconds - 100)

    def count(self) -> None:
        self.lost += 1

    def decided(
        self,
        who: str = "",
        *,
        refused_for: str = "",
        network: str = "net-1",
        vin: str = VIN,
        id_: str = "c-1",
    ) -> None:
        caller = Caller(who, who, Source.WEB, frozenset({"otp", "pwd"}), acr="two") if who else None
        self.log.decided(
            AccessDecision("door.unlock", id_, network, caller, vin, "EMERGENCY", "OWNER", refused_for)
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
    assert house.made == 4  # of what has no entry none is made
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


def test_nobody_with_many_networks_is_one_of_them(house: Harness) -> None:
    for number in range(30_000):
        house.decided(refused_for="TOKEN_INVALID", network=f"net-{number}")
    assert (len(house.noted), house.lost) == (10, 29_990)
    house.decided("user-456", refused_for="VEHICLE_NOT_FOUND")  # who is somebody has a budget of their own
    assert len(house.noted) == 11
    house.seconds += 60
    house.decided(refused_for="TOKEN_INVALID", network="net-1")
    assert len(house.noted) == 12


def test_callers_beyond_those_that_are_told_apart_share_one_budget_and_reset_nobody(house: Harness) -> None:
    for _ in range(3):
        house.decided("user-0", refused_for="VEHICLE_NOT_FOUND")
    for number in range(1, 10):
        house.decided(f"user-{number}", refused_for="VEHICLE_NOT_FOUND")
    assert (len(house.noted), house.lost) == (3 + 3 + 3, 3)
    house.decided("user-0", refused_for="VEHICLE_NOT_FOUND")
    assert house.lost == 4


async def test_looks_that_repeat_each_other_are_one_entry_a_minute_with_their_number(house: Harness) -> None:
    for number in range(5):
        house.decided("user-123", id_=f"look-{number}")
        house.seconds += 10
    house.decided("user-789")  # somebody else's are theirs
    house.decided("user-123", vin="KMHSH81C7LU654321")
    assert [record.correlation_id for record in house.noted] == ["look-0", "c-1", "c-1"]
    await house.log.tell()
    assert len(house.noted) == 3
    house.seconds += 10
    await house.log.tell()
    counted = house.noted[3]
    assert (counted.kind, counted.subject, counted.correlation_id) == ("ACCESS_ALLOWED", "user-123", "look-4")
    assert (counted.detail["count"], counted.detail["since"]) == ("4", "2026-01-12T14:30:10+00:00")
    for number in range(5, 65):  # who looks on has one entry a minute
        house.decided("user-123", id_=f"look-{number}")
        house.seconds += 1
    await house.log.tell()
    assert [record.detail.get("count") for record in house.noted[4:]] == ["60"]
    house.seconds += 120  # a minute without a look: the next is a first one again
    await house.log.tell()
    house.decided("user-123", id_="later")
    house.decided("user-123", id_="last")
    house.log.tell_all()
    assert [(record.correlation_id, record.detail.get("count")) for record in house.noted[5:]] == [
        ("later", None),
        ("last", "1"),
    ]
    assert house.lost == 0


def test_looks_of_more_than_there_is_room_for_are_counted(house: Harness) -> None:
    for number in range(5):
        house.decided(f"user-{number}")
    assert (len(house.noted), house.lost) == (3, 2)
    house.seconds += 60
    house.decided("user-4")
    assert len(house.noted) == 4
