"""Which reply subjects are a vehicle's own, and how long one that named another is shut out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.enrolment import domain
from services.enrolment.adapters.reply_guard import vin_of_request
from services.enrolment.domain import (
    ARRIVAL_EVERY,
    MOST_ARRIVALS,
    SHUT_OUT_FOR,
    Arrivals,
    HarmReports,
    ShutOutVehicles,
    is_own_reply,
)

VIN = "KMHSH81C7LU123456"
OTHER = "KMHSH81C7LU654321"
NOW = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize("reply", ["", f"_INBOX.{VIN}.a", f"_INBOX.{VIN}.a.b.1"])
def test_its_own_inbox_or_none(reply: str) -> None:
    assert is_own_reply(reply, VIN)


@pytest.mark.parametrize(
    "reply",
    [
        ">",
        "*",
        f"_INBOX.{VIN}",
        f"_INBOX.{VIN}x.a",
        f"_INBOX.{VIN}.>",
        f"_INBOX.{VIN}.*",
        f"_INBOX.{VIN}.a.*.b",
        f"_INBOX.{OTHER}.a",
        "_INBOX.*.a",
        "$JS.API.STREAM.DELETE.VEHICLE_EVENTS",
    ],
)
def test_what_is_not(reply: str) -> None:
    assert not is_own_reply(reply, VIN)


@pytest.mark.parametrize(
    ("subject", "vin"),
    [
        (f"$JS.API.CONSUMER.MSG.NEXT.VEHICLE_COMMANDS.{VIN}", VIN),
        (f"$JS.ACK.VEHICLE_COMMANDS.{VIN}.1.2.3.4.5", VIN),
        ("$JS.API.CONSUMER.MSG.NEXT.VEHICLE_COMMANDS.x", None),
        ("$JS.ACK.VEHICLE_COMMANDS.x.1.2.3.4.5", None),
        ("$JS.ACK.VEHICLE_COMMANDS", None),
        ("", None),
    ],
)
def test_whose_request_it_is(subject: str, vin: str | None) -> None:
    assert vin_of_request(subject) == vin


def test_a_vehicle_is_let_in_so_often_and_another_is_not_asked_why() -> None:
    arrivals = Arrivals()
    assert all(arrivals.take(VIN, NOW) for _ in range(MOST_ARRIVALS))
    assert not arrivals.take(VIN, NOW)
    assert arrivals.take(OTHER, NOW)
    assert not arrivals.take(VIN, NOW + ARRIVAL_EVERY / 2)
    assert arrivals.take(VIN, NOW + ARRIVAL_EVERY)
    assert not arrivals.take(VIN, NOW + ARRIVAL_EVERY)
    later = NOW + 2 * MOST_ARRIVALS * ARRIVAL_EVERY
    assert sum(arrivals.take(VIN, later) for _ in range(2 * MOST_ARRIVALS)) == MOST_ARRIVALS


def test_who_has_not_come_for_long_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain, "_MOST_REMEMBERED", 3)
    arrivals = Arrivals()
    for vin in ("A", "B", "C"):
        assert arrivals.take(vin, NOW)
    assert arrivals.take("D", NOW + 2 * ARRIVAL_EVERY)
    assert list(arrivals._left) == ["D"]


def test_shut_out_for_a_while() -> None:
    shut_out = ShutOutVehicles()
    assert not shut_out.holds(VIN, NOW)
    assert shut_out.add(VIN, NOW)
    assert not shut_out.add(VIN, NOW)
    assert shut_out.holds(VIN, NOW + SHUT_OUT_FOR - timedelta(seconds=1))
    assert not shut_out.holds(OTHER, NOW)
    assert not shut_out.holds(VIN, NOW + SHUT_OUT_FOR)
    assert shut_out.add(VIN, NOW)
    shut_out.remove(VIN)
    assert not shut_out.holds(VIN, NOW)


def test_a_vehicle_is_reported_once_a_second_and_others_beside_it() -> None:
    reports = HarmReports(most=2)
    assert [reports.is_due("a", at) for at in (0.0, 0.5, 1.0, 1.5)] == [True, False, True, False]
    assert reports.is_due("b", 1.6)
    assert reports.is_due(
        "c", 1.7
    )  # there is no room: what was remembered is lost, and a report is one too many
    assert reports.is_due("a", 1.8)
