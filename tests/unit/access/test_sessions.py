"""What the holder of a session is told of vehicles, and what that costs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.access.adapters.session_gate import SessionCallers, SessionWatches
from services.access.domain.accounts import Caller, Source
from services.access.domain.tickets import TICKET_SECONDS
from services.access.usecases import sessions
from services.platform import errors
from services.platform.errors import Refusal
from tests.unit.access.admission_answers import admitted, denied
from tests.unit.access.conftest import RATES, VIN

OTHER = "KMHSH81C7LU123457"


def watches(house: Any, revoked: frozenset[str] = frozenset()) -> SessionWatches:
    house.revoked.certificates = revoked
    callers = SessionCallers(
        house.verifier,
        house.revoked,
        lambda _credential: True,
        revoked.__contains__,
        lambda: datetime.fromtimestamp(house.clock(), UTC),
    )
    return SessionWatches(callers, house.authorizer)


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


STREAM = f"/api/v1/remotecontrol/vehicles/{VIN}/door/updates/stream"
WEBSOCKET = "/api/v1/remotecontrol/events/ws"


class TestStreamTickets:
    """Tickets that open a vehicle's event stream: what a browser's EventSource has in place of a bearer."""

    @staticmethod
    async def given(house: Any, vin: str = VIN, certificate: str = "") -> str:
        at = datetime.fromtimestamp(house.clock(), UTC)
        return await sessions.create_ticket(
            house.edge._sessions._tickets, session(house, certificate), lambda: at, vin
        )

    @staticmethod
    def asked(house: Any, ticket: str, path: str = STREAM, **headers: str | None) -> Any:
        query = "&" if "?" in path else "?"
        return house.request(f"{path}{query}ticket={ticket}", headers={"authorization": None, **headers})

    async def test_it_opens_that_stream_once_in_the_name_of_who_asked_for_it(self, house: Any) -> None:
        ticket = await self.given(house)
        made = await admitted(house, self.asked(house, ticket))
        capability = house.verifier.verify(made.capability)
        assert (capability.subject, capability.resource) == ("user-123", VIN)
        assert capability.actions == {"door.updates.read"}
        assert made.without_query == ("ticket",)
        assert "ratelimit" in made.headers
        again = await denied(house, self.asked(house, ticket), "TOKEN_INVALID")
        assert again.refusal.headers["www-authenticate"].startswith("Bearer ")
        assert ticket not in str(again)

    async def test_what_was_decided_is_told_as_of_a_bearer(self, house: Any) -> None:
        await admitted(house, self.asked(house, await self.given(house)))
        told = house.decisions[-1]
        assert (told.action, told.vin, told.caller.subject, told.refused_for) == (
            "door.updates.read",
            VIN,
            "user-123",
            "",
        )

    @pytest.mark.parametrize("late", [TICKET_SECONDS, TICKET_SECONDS + 1])
    async def test_it_opens_nothing_when_it_comes_late(self, house: Any, late: int) -> None:
        ticket = await self.given(house)
        house.clock.at += late
        await denied(house, self.asked(house, ticket), "TOKEN_INVALID")

    async def test_it_opens_no_other_vehicle_s_and_is_not_used_up_by_who_tries(self, house: Any) -> None:
        house.record.grant("user-123", OTHER)
        ticket = await self.given(house)
        await denied(house, self.asked(house, ticket, STREAM.replace(VIN, OTHER)), "TOKEN_INVALID")
        await denied(house, self.asked(house, ticket, WEBSOCKET), "TOKEN_INVALID")
        await denied(
            house,
            self.asked(house, ticket, STREAM.replace("updates/stream", "status")),
            "AUTHENTICATION_REQUIRED",
        )
        await admitted(house, self.asked(house, ticket, STREAM.replace(VIN, VIN.lower())))

    async def test_one_of_the_websocket_opens_no_stream(self, house: Any) -> None:
        await denied(house, self.asked(house, await self.given(house, vin="")), "TOKEN_INVALID")

    @pytest.mark.parametrize("wrong", ["", "x", "A" * 43, "%41" * 43, "A" * 9_000])
    async def test_what_was_never_given_opens_nothing(self, house: Any, wrong: str) -> None:
        await denied(house, self.asked(house, wrong), "TOKEN_INVALID")

    async def test_who_tries_too_many_is_stopped_by_their_address(self, house: Any) -> None:
        asked = replace(self.asked(house, "A" * 43), address="192.0.2.7")
        for _ in range(RATES["failed"]):
            await denied(house, asked, "TOKEN_INVALID")
        await denied(house, asked, "RATE_LIMITED")

    async def test_it_is_read_once_and_by_its_own_name_only(self, house: Any) -> None:
        ticket = await self.given(house)
        twice = house.request(f"{STREAM}?ticket={ticket}&ticket={ticket}", headers={"authorization": None})
        assert (await denied(house, twice, "INVALID_REQUEST")).refusal.violations[0].field == "ticket"
        ticket = await self.given(house)
        hidden = house.request(f"{STREAM}?%74icket={ticket}", headers={"authorization": None})
        await denied(house, hidden, "AUTHENTICATION_REQUIRED")

    async def test_it_stands_for_a_bearer_and_not_beside_one(self, house: Any) -> None:
        ticket = await self.given(house)
        beside = house.request(f"{STREAM}?ticket={ticket}")
        assert (await denied(house, beside, "INVALID_REQUEST")).refusal.violations[0].field == "ticket"
        await admitted(house, self.asked(house, ticket))

    async def test_where_it_goes_on_is_said_in_the_query(self, house: Any) -> None:
        for order in ("{0}&{1}", "{1}&{0}"):
            ticket = f"ticket={await self.given(house)}"
            asked = house.request(
                f"{STREAM}?{order.format(ticket, 'lastEventId=abc')}", headers={"authorization": None}
            )
            assert (await admitted(house, asked)).without_query == ("ticket",)
        ticket = await self.given(house)
        more = house.request(f"{STREAM}?ticket={ticket}&vin={VIN}", headers={"authorization": None})
        await denied(house, more, "INVALID_REQUEST")

    async def test_a_right_that_ended_in_between_opens_nothing(self, house: Any) -> None:
        ticket = await self.given(house)
        house.record.permission_cache.clear()
        house.permission_cache.invalidate()
        await denied(house, self.asked(house, ticket), "VEHICLE_NOT_FOUND")

    async def test_an_account_that_was_locked_in_between_opens_nothing(self, house: Any) -> None:
        ticket = await self.given(house)
        house.record.locked.add("user-123")
        house.permission_cache.invalidate()
        await denied(house, self.asked(house, ticket), "ACCOUNT_LOCKED")

    async def test_what_was_signed_in_with_and_withdrawn_in_between_opens_nothing(self, house: Any) -> None:
        caller = Caller(
            "user-123", "user-123", Source.MOBILE_APP, expires_at=house.clock() + 300, credential="key-1"
        )
        opened = house.edge._sessions.open(caller, "")
        at = datetime.fromtimestamp(house.clock(), UTC)
        tickets = house.edge._sessions._tickets
        ticket = await sessions.create_ticket(tickets, opened, lambda: at, VIN)
        house.revoked.keys.add("key-1")
        await denied(house, self.asked(house, ticket), "TOKEN_INVALID")

    async def test_the_end_of_what_was_signed_in_with_is_the_stream_s(self, house: Any) -> None:
        caller = Caller(
            "user-123",
            "user-123",
            Source.MOBILE_APP,
            expires_at=house.clock() + 20,
            ends_at=house.clock() + 20,
            credential="key-1",
        )
        opened, at = house.edge._sessions.open(caller, ""), datetime.fromtimestamp(house.clock(), UTC)
        tickets = house.edge._sessions._tickets
        first, second = [await sessions.create_ticket(tickets, opened, lambda: at, VIN) for _ in range(2)]
        made = await admitted(house, self.asked(house, first))
        capability = house.verifier.verify(made.capability)
        assert (capability.ends_at, capability.credential) == (house.clock() + 20, "key-1")
        house.clock.at += 21
        await denied(house, self.asked(house, second), "TOKEN_EXPIRED")

    async def test_one_that_a_team_asked_for_is_worth_what_its_certificate_is(self, house: Any) -> None:
        first, second = [await self.given(house, certificate="c-1") for _ in range(2)]
        made = await admitted(house, self.asked(house, first))
        assert house.verifier.verify(made.capability).certificate == "c-1"
        house.revoked.certificates.add("c-1")
        await denied(house, self.asked(house, second), "TOKEN_INVALID")

    async def test_a_stream_is_counted_as_what_its_bearer_would_read(self, house: Any) -> None:
        for _ in range(RATES["read"]):
            await admitted(house, self.asked(house, await self.given(house)))
        await denied(house, self.asked(house, await self.given(house)), "RATE_LIMITED")
