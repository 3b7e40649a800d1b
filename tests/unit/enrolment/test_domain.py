from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.enrolment.adapters.vins import checked_vin
from services.enrolment.domain import (
    LONGEST_ADMISSION,
    BrokerAdmission,
    ConnectingVehicle,
    Enrolment,
    LinkProtocol,
    NotAdmittedError,
    NotAVinError,
    admission,
)

NOW = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
VIN = "KMHSH81C7LU123456"
OTHER = "KMHSH81C7LU654321"
OVER_NATS = ConnectingVehicle(VIN, "aa", NOW + timedelta(days=30), LinkProtocol.NATS)
OVER_MQTT = replace(OVER_NATS, link=LinkProtocol.MQTT, client_id=VIN)
ENROLLED = Enrolment(VIN, "aa", NOW)


@pytest.mark.parametrize("caller", [OVER_NATS, OVER_MQTT])
def test_the_enrolled_certificate_is_let_in(caller: ConnectingVehicle) -> None:
    assert admission(caller, ENROLLED, NOW) == BrokerAdmission(VIN, caller.link, NOW + LONGEST_ADMISSION)


def test_not_longer_than_the_certificate_lives() -> None:
    ends = NOW + timedelta(minutes=5)
    assert admission(replace(OVER_NATS, certificate_ends_at=ends), ENROLLED, NOW).until == ends


@pytest.mark.parametrize(
    ("caller", "enrolment", "reason"),
    [
        (OVER_NATS, None, "not enrolled"),
        (OVER_NATS, replace(ENROLLED, revoked_at=NOW), "revoked"),
        (replace(OVER_NATS, fingerprint="bb"), ENROLLED, "not the certificate"),
        (OVER_NATS, replace(ENROLLED, fingerprint=None), "not the certificate"),
        (replace(OVER_MQTT, client_id=OTHER), ENROLLED, "client id"),
        (replace(OVER_MQTT, client_id=None), ENROLLED, "client id"),
        (replace(OVER_NATS, certificate_ends_at=NOW), ENROLLED, "expired"),
    ],
)
def test_nobody_else_is(caller: ConnectingVehicle, enrolment: Enrolment | None, reason: str) -> None:
    with pytest.raises(NotAdmittedError, match=reason):
        admission(caller, enrolment, NOW)


@pytest.mark.parametrize(
    "vin", ["", "KMHSH81C7LU12345", "KMHSH81C7LU12345O", f"{VIN}\n", "*" * 17, f"{VIN}.>"]
)
def test_what_is_no_vin_never_becomes_a_subject(vin: str) -> None:
    with pytest.raises(NotAVinError):
        checked_vin(vin)
