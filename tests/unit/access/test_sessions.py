"""What the holder of a session is told of vehicles, and what that costs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.access.adapters.session_gate import SessionWatches
from services.access.domain.accounts import Caller, Source
from services.access.domain.tickets import TICKET_SECONDS
from services.access.usecases import sessions
from services.platform import errors
from services.platform.errors import Refusal
from tests.unit.access.admission_answers import admitted, denied
from tests.unit.access.conftest import RATES, VIN

OTHER = "KMHSH81C7LU123457"


class NothingWithdrawn:
    async def is_withdrawn(self, credential: str, *, at: datetime) -> bool:  # noqa: ARG002  # the port's signature
        return False


def watches(house: Any, revoked: frozenset[str] = frozenset()) -> SessionWatches:
    return SessionWatches(
        house.verifier,
        house.authorizer,
        NothingWithdrawn(),
        lambda _credential: True,
        revoked.__contains__,
        lambda: datetime.fromtimestamp(house.clock(), UTC),
    )


def session(house: Any, certificate: str = "") -> str:
    caller = Caller("user-123", "user-123", Source.MOBILE_APP, expires_at=house.clock() + 300)
    token: str = house.edge._sessions.open(caller, "192.0.2.1", certificate)
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


async def test_a_session_that_a_team_opened_is_worth_what_its_certificate_is(house: Any) -> None:
    opened = session(house, "c-1")
    (capability,) = await watches(house).authorize(opened, [VIN], "c-1")
    assert house.verifier.verify(capability).certificate == "c-1"
    with pytest.raises(Refusal) as refused:
        await watches(house, frozenset({"c-1"})).authorize(opened, [VIN], "c-1")
    assert refused.value.reason is errors.TOKEN_INVALID
    (capability,) = await watches(house, frozenset({"c-1"})).authorize(session(house), [VIN], "c-1")
    assert not house.verifier.verify(capability).certificate


async def test_a_team_s_ticket_is_asked_for_under_its_certificate(house: Any) -> None:
    asked = house.request(
        "/ecarus.remotecontrol.door.v1.DoorEventService/CreateEventTicket",
        method="POST",
        team_listener=True,
        certificate="team",
        body=b"\0\0\0\0\0",
        headers={"content-type": "application/grpc+proto"},
    )
    made = await admitted(house, asked)
    assert house.verifier.session(made.session).certificate == "c-1"


@pytest.mark.parametrize(("late", "is_good"), [(TICKET_SECONDS - 1, True), (TICKET_SECONDS, False)])
async def test_a_ticket_that_comes_late_opens_nothing(house: Any, late: int, *, is_good: bool) -> None:
    tickets = house.edge._sessions._tickets
    at = datetime.fromtimestamp(house.clock(), UTC)
    ticket = await sessions.create_ticket(tickets, session(house), lambda: at)
    house.clock.at += late
    opening = house.request(
        f"/api/v1/remotecontrol/events/ws?ticket={ticket}",
        headers={"authorization": None, "connection": "Upgrade", "upgrade": "websocket"},
    )
    if is_good:
        assert house.verifier.session((await admitted(house, opening)).session).subject == "user-123"
    else:
        assert (await denied(house, opening, "TOKEN_INVALID")).refusal.reason.http_status == 401
