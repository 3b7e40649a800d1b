"""How often a session over MQTT may subscribe, and whose it is."""

from __future__ import annotations

import pytest

from services.enrolment.adapters.mqtt_sessions import session_name, session_of, vehicle_of
from services.enrolment.domain import (
    MOST_SUBSCRIBED,
    SUBSCRIBED_WITHIN_SECONDS,
    ConnectionTraffic,
    SessionChanges,
)

VIN, OTHER = "KMHSH81C7LU123456", "KMHSH81C7LU654321"
MADE = "$JS.EVENT.ADVISORY.CONSUMER.CREATED.$MQTT_msgs"


def connection(vin: str) -> ConnectionTraffic:
    return ConnectionTraffic(
        vin=vin, server_id="n", number=1, age_seconds=1.0, messages=0, octets=0, is_open=True
    )


@pytest.mark.parametrize(
    ("subject", "session"),
    [
        (f"{MADE}.7xWUYbR0_KQ4MTxbRRCEpBQsvxQfaUm", "7xWUYbR0"),
        (f"$JS.API.CONSUMER.MSG.NEXT.VEHICLE_COMMANDS.{VIN}", None),
        ("$JS.EVENT.ADVISORY.CONSUMER.CREATED.VEHICLE_COMMANDS.x", None),
        ("", None),
    ],
)
def test_a_session_is_named_in_what_the_broker_says(subject: str, session: str | None) -> None:
    assert session_of(subject) == session


def test_a_session_is_its_vehicle_s() -> None:
    seen = [connection(OTHER), connection(VIN)]
    assert vehicle_of(session_name(VIN), seen) == VIN
    assert vehicle_of(session_name("KMHSH81C7LU000000"), seen) is None
    assert len({session_name(VIN), session_name(OTHER)}) == 2
    assert [len(session_name(vin)) for vin in (VIN, OTHER)] == [8, 8]


def test_one_that_subscribes_too_often_is_said_once() -> None:
    changes = SessionChanges()
    said = [changes.is_excessive("a", 0.1 * number) for number in range(40)]
    assert said.index(True) == MOST_SUBSCRIBED
    assert sum(said) == 1
    assert not any(changes.is_excessive("b", number) for number in range(MOST_SUBSCRIBED))


def test_it_is_counted_anew_after_a_while() -> None:
    changes = SessionChanges()
    for turn in range(3):
        at = turn * SUBSCRIBED_WITHIN_SECONDS
        assert not any(changes.is_excessive("a", at) for _ in range(MOST_SUBSCRIBED))
    assert changes.is_excessive("a", at)


def test_sessions_that_are_remembered_are_bounded() -> None:
    changes = SessionChanges(most=10)
    for number in range(100):
        changes.is_excessive(str(number), 0.0)
    assert len(changes._since) <= 10  # its bound
