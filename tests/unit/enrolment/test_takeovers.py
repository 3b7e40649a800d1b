"""Which connection is to end when a vehicle is let in, and how often that may be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.enrolment.domain import (
    MOST_TAKEOVERS,
    TAKEOVERS_WITHIN,
    Connection,
    LatestConnections,
    LinkProtocol,
    Takeovers,
)

VIN, OTHER = "KMHSH81C7LU123456", "KMHSH81C7LU654321"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
FIRST, SECOND = Connection("node-a", 7, LinkProtocol.NATS), Connection("node-b", 7, LinkProtocol.NATS)
OVER_MQTT, AGAIN_OVER_MQTT = (
    Connection("node-a", 8, LinkProtocol.MQTT),
    Connection("node-a", 9, LinkProtocol.MQTT),
)


def test_the_connection_before_is_to_end() -> None:
    latest = LatestConnections()
    assert latest.admitted(VIN, FIRST) is None
    assert latest.admitted(OTHER, SECOND) is None
    assert latest.admitted(VIN, SECOND) == FIRST
    assert latest.admitted(VIN, SECOND) is None


def test_over_mqtt_the_broker_ends_the_session_itself() -> None:
    latest = LatestConnections()
    latest.admitted(VIN, OVER_MQTT)
    assert latest.admitted(VIN, AGAIN_OVER_MQTT) is None
    assert latest.admitted(VIN, FIRST) == AGAIN_OVER_MQTT
    assert latest.admitted(VIN, OVER_MQTT) == FIRST


def test_only_so_many_are_remembered() -> None:
    latest = LatestConnections(most=1)
    latest.admitted(VIN, FIRST)
    latest.admitted(OTHER, FIRST)
    assert latest.admitted(VIN, SECOND) is None


def test_takeovers_are_counted_for_a_while() -> None:
    takeovers = Takeovers()
    counts = [takeovers.add(VIN, NOW + timedelta(seconds=n)) for n in range(MOST_TAKEOVERS + 1)]
    assert counts == [*range(1, MOST_TAKEOVERS + 1), MOST_TAKEOVERS]
    assert takeovers.add(OTHER, NOW) == 1
    assert takeovers.add(VIN, NOW + TAKEOVERS_WITHIN * 2) == 1
