"""When a vehicle has sent too much, and for how long it is shut out then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.enrolment import domain
from services.enrolment.domain import (
    BURST_SECONDS,
    FIRST_FLOOD_OUT_FOR,
    FLOOD_REMEMBERED_FOR,
    SHUT_OUT_FOR,
    ConnectionTraffic,
    MessageRates,
    ShutOutVehicles,
)

VIN = "KMHSH81C7LU123456"
OTHER = "KMHSH81C7LU654321"
BEGAN = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
PER_SECOND = 100
OCTETS = 10_000
BURST = BURST_SECONDS * PER_SECOND


def seen(
    messages: int,
    *,
    vin: str = VIN,
    number: int = 1,
    age: float = 1_000_000,
    octets: int = 0,
    is_open: bool = True,
) -> ConnectionTraffic:
    return ConnectionTraffic(vin, "node", number, age, messages, octets, is_open)


@pytest.fixture
def rates() -> MessageRates:
    return MessageRates(PER_SECOND, OCTETS)


def test_what_a_connection_sent_in_months_is_no_flood(rates: MessageRates) -> None:
    assert rates.excessive([seen(9_000_000, octets=9_000_000_000)], 0) == {}
    assert rates.excessive([seen(9_000_000 + PER_SECOND, octets=9_000_000_000)], 1) == {}


def test_what_it_sends_within_a_second_is(rates: MessageRates) -> None:
    rates.excessive([seen(9_000_000), seen(5, vin=OTHER, number=2)], 0)
    found = rates.excessive([seen(9_030_000), seen(6, vin=OTHER, number=2)], 1)
    assert found == {VIN: 30_000 - PER_SECOND}
    assert rates.excessive([seen(9_030_000)], 2) == {}
    assert VIN in rates.excessive([seen(9_060_000)], 3)


def test_octets_count_too(rates: MessageRates) -> None:
    rates.excessive([seen(1)], 0)
    assert rates.excessive([seen(2, octets=BURST_SECONDS * OCTETS)], 1) == {}
    assert VIN in rates.excessive([seen(3, octets=3 * BURST_SECONDS * OCTETS)], 1)


def test_a_burst_is_allowed_and_then_the_rate_in_the_mean(rates: MessageRates) -> None:
    rates.excessive([seen(0)], 0)
    for second in range(1, 60):
        assert rates.excessive([seen(BURST + second * PER_SECOND)], second) == {}
    assert VIN in rates.excessive([seen(BURST + 60 * PER_SECOND + 1)], 60)


def test_a_little_too_much_for_long_is_seen(rates: MessageRates) -> None:
    sent = [second * PER_SECOND * 11 // 10 for second in range(200)]
    found = [second for second in range(200) if rates.excessive([seen(sent[second])], second)]
    # A tenth too much: it takes ten times as long as the burst would.
    assert found[0] == BURST // (PER_SECOND // 10) + 1


def test_a_vehicle_s_connections_count_together_and_those_that_ended_too(rates: MessageRates) -> None:
    came = [seen(BURST // 2 + PER_SECOND, number=n, age=0.5, is_open=n == 3) for n in (2, 3)]
    assert VIN in rates.excessive(came, 1)
    assert rates.excessive(came, 2) == {}
    assert rates.excessive(came[:1], 2) == {}


def test_a_connection_that_was_not_seen_before_had_its_life_to_send_it(rates: MessageRates) -> None:
    sent = 10 * BURST
    assert VIN in rates.excessive([seen(sent, age=1)], 0)
    assert rates.excessive([seen(sent, vin=OTHER, age=sent / PER_SECOND)], 0) == {}


def test_so_many_are_remembered(rates: MessageRates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain, "MOST_RATED", 2)
    for number in range(5):
        rates.excessive([seen(0, vin=f"V{number}")], number)
    assert list(rates._vehicles) == ["V3", "V4"]
    for number in range(2, 40):
        rates.excessive([seen(0, vin="V4", number=number)], number)
    assert len(rates._vehicles["V4"].counts) <= 16


def test_who_floods_again_is_shut_out_for_twice_as_long() -> None:
    shut_out, now, lasted = ShutOutVehicles(), BEGAN, []
    for _ in range(10):
        lasts = shut_out.add_flood(VIN, now)
        assert lasts is not None
        assert shut_out.add_flood(VIN, now) is None
        assert shut_out.holds(VIN, now + lasts - timedelta(seconds=1))
        assert not shut_out.holds(OTHER, now)
        now += lasts
        assert not shut_out.holds(VIN, now)
        lasted.append(lasts)
    assert lasted[:3] == [FIRST_FLOOD_OUT_FOR * n for n in (1, 2, 4)]
    assert lasted[-1] == SHUT_OUT_FOR
    now += FLOOD_REMEMBERED_FOR
    assert shut_out.add_flood(VIN, now) == FIRST_FLOOD_OUT_FOR
    shut_out.remove(VIN)
    assert not shut_out.holds(VIN, now)
    assert shut_out.add_flood(VIN, now) == FIRST_FLOOD_OUT_FOR
