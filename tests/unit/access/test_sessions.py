"""What the holder of a session is told of vehicles, and what that costs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from services.access.adapters.session_gate import SessionWatches
from services.access.domain.accounts import Caller, Source
from services.platform.errors import Refusal
from tests.unit.access.conftest import RATES, VIN

OTHER = "KMHSH81C7LU123457"


class NothingWithdrawn:
    async def is_withdrawn(self, credential: str, *, at: datetime) -> bool:  # noqa: ARG002  # the port's signature
        return False


def watches(house: Any) -> SessionWatches:
    return SessionWatches(
        house.verifier,
        house.authorizer,
        NothingWithdrawn(),
        lambda _credential: True,
        lambda: datetime.fromtimestamp(house.clock(), UTC),
    )


def session(house: Any) -> str:
    caller = Caller("user-123", "user-123", Source.MOBILE_APP, expires_at=house.clock() + 300)
    token: str = house.edge._sessions.open(caller, "192.0.2.1")
    return token


def codes(answers: list[str | Refusal]) -> list[str]:
    return [each.reason.code if isinstance(each, Refusal) else "" for each in answers]


async def test_who_asks_about_too_many_foreign_vehicles_costs_the_record_no_more_of_them(house: Any) -> None:
    foreign = [f"KMHSH81C7LU{n:06}" for n in range(99)]
    most = RATES["unknown"]
    told = codes(await watches(house).authorize(session(house), [*foreign, VIN], "c-1"))
    assert told == ["VEHICLE_NOT_FOUND"] * most + ["RATE_LIMITED"] * (100 - most)
    assert len(house.record.asked) == most + 1
    house.clock.at += 60
    assert codes(await watches(house).authorize(session(house), [VIN], "c-1")) == [""]


async def test_one_vehicle_that_is_asked_about_too_often_stops_no_other(house: Any) -> None:
    house.record.grant("user-123", OTHER)
    for _ in range(RATES["read"]):
        assert codes(await watches(house).authorize(session(house), [VIN], "c-1")) == [""]
    assert codes(await watches(house).authorize(session(house), [VIN, OTHER], "c-1")) == ["RATE_LIMITED", ""]
