"""Limits of admissions, and how long what was found out is accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.access.adapters import capability_issuer
from services.access.adapters.authorizer import Allow, Deny
from services.access.domain.permissions import EffectivePermissions
from tests.unit.access.admission_answers import FOREIGN, VIN, admitted, denied
from tests.unit.access.conftest import RATES, acting

if TYPE_CHECKING:
    import pytest

    from services.access.adapters.edge_requests import EdgeRequest


async def test_commands_are_limited_and_come_back(house: Any) -> None:
    for _ in range(10):
        await admitted(house, house.unlock())
    made = await denied(house, house.unlock(), "RATE_LIMITED")
    assert made.refusal.retry_after_seconds == 6
    assert made.refusal.headers == {
        "ratelimit-policy": '"command";q=10;w=60',
        "ratelimit": '"command";r=0;t=6',
    }
    assert made.refusal.may_have_succeeded is False
    await admitted(house, house.request())
    house.clock.at += 6
    await admitted(house, house.unlock())


def lock(house: Any, body: bytes = b'{"targetDoors":["all"]}', **changed: Any) -> EdgeRequest:
    request: EdgeRequest = house.unlock(body, path="lock", **changed)
    return request


async def test_no_limit_that_is_spent_keeps_a_user_from_locking(house: Any) -> None:
    for _ in range(10):
        await admitted(house, house.unlock())
    await denied(house, house.unlock(), "RATE_LIMITED")
    for _ in range(RATES["refused"]):
        await denied(house, lock(house, b"{"), "MALFORMED_JSON")
    refused = await denied(house, lock(house, b"{"), "RATE_LIMITED")
    assert refused.refusal.retry_after_seconds == 2
    await denied(house, lock(house, headers={"content-type": "text/plain"}), "RATE_LIMITED")
    for _ in range(100):
        await admitted(house, lock(house))
    await denied(house, house.unlock(), "RATE_LIMITED")


async def test_who_has_spent_the_rate_can_still_cancel(house: Any) -> None:
    body = b'{"correlationId":"c-1","reason":"Timeout","force":false}'
    for _ in range(10):
        await admitted(house, house.unlock())
    await denied(house, house.unlock(), "RATE_LIMITED")
    for _ in range(10):
        await admitted(house, lock(house))
    for _ in range(RATES["cancel"]):
        await admitted(house, house.unlock(body, path="cancel"))
    flood = await denied(house, house.unlock(body, path="cancel"), "RATE_LIMITED")
    assert flood.refusal.retry_after_seconds == 1
    house.clock.at += 6
    await admitted(house, house.unlock())  # what was cancelled has cost the commands nothing


async def test_an_agent_does_not_use_up_what_the_owner_needs(house: Any) -> None:
    token = house.issuer.token(**acting("agent-7"))
    by_agent = {"authorization": f"Bearer {token}"}
    for _ in range(10):
        await admitted(house, house.unlock(headers=by_agent))
    await denied(house, house.unlock(headers=by_agent), "RATE_LIMITED")
    await admitted(house, house.unlock())


async def test_bearers_that_fail_are_limited_by_address_and_nobody_else_behind_it(house: Any) -> None:
    guessing = {"authorization": "Bearer sk_guessed"}
    for _ in range(RATES["failed"]):
        await denied(house, house.request(headers=guessing, address="203.0.113.9"), "TOKEN_INVALID")
    made = await denied(house, house.request(headers=guessing, address="203.0.113.9"), "RATE_LIMITED")
    assert made.refusal.retry_after_seconds == 1
    await denied(house, house.request(headers={"authorization": None}, address="203.0.113.9"), "RATE_LIMITED")
    await denied(house, house.request(headers=guessing, address="203.0.113.10"), "TOKEN_INVALID")
    await admitted(house, lock(house, address="203.0.113.9"))
    house.clock.at += 1
    await denied(house, house.request(headers=guessing, address="203.0.113.9"), "TOKEN_INVALID")


async def test_an_address_of_ipv6_is_the_whole_network(house: Any) -> None:
    guessing = {"authorization": "Bearer sk_guessed"}
    for host in range(RATES["failed"]):
        await denied(house, house.request(headers=guessing, address=f"2001:db8::{host:x}"), "TOKEN_INVALID")
    await denied(house, house.request(headers=guessing, address="2001:db8::ffff"), "RATE_LIMITED")
    await denied(house, house.request(headers=guessing, address="2001:db8:0:1::1"), "TOKEN_INVALID")


async def test_looking_for_vehicles_is_limited_whether_they_exist_or_not(house: Any) -> None:
    house.record.grant("user-456", FOREIGN)
    paths = [f"/api/v1/remotecontrol/vehicles/{vin}/door/status" for vin in (FOREIGN, "KMHSH81C7LU999999")]
    for n in range(RATES["unknown"]):
        await denied(house, house.request(paths[n % 2]), "VEHICLE_NOT_FOUND")
    answers = [await denied(house, house.request(path), "RATE_LIMITED") for path in paths]
    assert answers[0].refusal.detail == answers[1].refusal.detail
    await admitted(house, lock(house))


async def test_a_caller_is_proven_anew_every_minute(house: Any) -> None:
    bearer = {"authorization": f"Bearer {house.issuer.token()}"}
    await admitted(house, house.request(headers=bearer))
    house.clock.at += 59
    house.issuer.publish(ed25519_id="another")
    await house.tokens.keys.refresh()
    await admitted(house, house.request(headers=bearer))
    house.clock.at += 1
    await denied(house, house.request(headers=bearer), "TOKEN_INVALID")


async def test_a_withdrawn_key_of_the_issuer_is_forgotten_with_all_whom_it_named(house: Any) -> None:
    bearer = {"authorization": f"Bearer {house.issuer.token()}"}
    made = await admitted(house, house.request(headers=bearer))
    credential = house.verifier.verify(made.capability).credential
    gone: list[str] = []

    def cancelled(credentials: frozenset[str]) -> None:
        gone.extend(credentials)
        for each in credentials:
            house.authorizer.invalidate(credential=each)

    house.tokens.keys.ring._changed = cancelled
    house.issuer.jwks.write_text('{"keys": []}')
    await house.tokens.keys.refresh()
    assert credential in gone
    assert not house.tokens.keys.ring.trusts(credential)
    await denied(house, house.request(headers=bearer), "TOKEN_INVALID")
    await admitted(house, house.request())


async def test_a_capability_is_renewed_in_time(house: Any) -> None:
    first = await admitted(house, house.request())
    house.clock.at += 39
    assert (await admitted(house, house.request())).capability == first.capability
    house.clock.at += 1
    renewed = await admitted(house, house.request())
    assert house.verifier.verify(renewed.capability).expires_at == house.clock() + 60


async def test_a_capability_outlives_neither_token_nor_grant(house: Any) -> None:
    token = house.issuer.token(exp=int(house.clock()) + 10)
    made = await admitted(house, house.request(headers={"authorization": f"Bearer {token}"}))
    assert house.verifier.verify(made.capability).expires_at == house.clock() + 40
    house.record.permission_cache["user-123", VIN] = EffectivePermissions(
        frozenset({"door.status.read"}), house.clock() + 7
    )
    house.permission_cache.invalidate()
    made = await admitted(house, house.request())
    assert house.verifier.verify(made.capability).expires_at == house.clock() + 7
    house.record.permission_cache.clear()
    house.clock.at += 4
    await admitted(house, house.request())
    house.clock.at += 3
    await denied(house, house.request(), "VEHICLE_NOT_FOUND")


async def test_what_another_replica_ended_is_seen_within_five_seconds(house: Any) -> None:
    await admitted(house, house.request())
    house.record.permission_cache.clear()
    house.record.keys.clear()
    await admitted(house, house.request())
    house.clock.at += 5
    await denied(house, house.request(), "TOKEN_INVALID")


async def test_a_revocation_is_seen_at_once(house: Any) -> None:
    await admitted(house, house.request())
    house.record.permission_cache.clear()
    house.permission_cache.invalidate()
    await denied(house, house.request(), "VEHICLE_NOT_FOUND")


async def test_a_store_that_is_away_is_told(house: Any) -> None:
    house.record.away = True
    made = await denied(house, house.unlock(), "STORAGE_UNAVAILABLE")
    assert made.refusal.retry_after_seconds == 2
    assert made.refusal.may_have_succeeded is False


async def test_what_was_read_around_a_change_of_a_right_is_not_used_for_long(house: Any) -> None:
    before = await admitted(house, house.request())
    house.authorizer.invalidate(principal="user-123")
    changed = await admitted(house, house.request())
    assert changed.capability != before.capability
    assert (await admitted(house, house.request())).capability == changed.capability
    house.clock.at += 1.0
    settled = await admitted(house, house.request())
    assert settled.capability != changed.capability
    house.clock.at += 1.0
    assert (await admitted(house, house.request())).capability == settled.capability


class Unwalked(dict[Any, Any]):
    """What is looked up in and never looked through."""

    def items(self) -> Any:
        raise AssertionError("it was looked through")

    values = __iter__ = items


async def test_an_end_looks_through_no_capability_and_concerns_nobody_else(house: Any) -> None:
    house.record.grant("user-456", VIN)
    mine, theirs, agents = (
        {"authorization": f"Bearer {house.issuer.token(**claims)}"}
        for claims in ({}, {"sub": "user-456"}, acting("agent-7"))
    )
    issuer = house.authorizer._capabilities
    issuer._issued._values = Unwalked()
    before = [
        (await admitted(house, house.request(headers=each))).capability for each in (mine, theirs, agents)
    ]
    house.authorizer.invalidate(principal="user-123")
    after = [
        (await admitted(house, house.request(headers=each))).capability for each in (mine, theirs, agents)
    ]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True, False]
    house.authorizer.invalidate(principal="agent-7")
    last = [
        (await admitted(house, house.request(headers=each))).capability for each in (mine, theirs, agents)
    ]
    assert [one == other for one, other in zip(after, last, strict=True)] == [True, True, False]


async def test_no_end_is_forgotten_because_there_are_many(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await admitted(house, house.request())
    monkeypatch.setattr(capability_issuer, "_MAX_KEPT", 3)
    monkeypatch.setattr(house.authorizer._capabilities._ended, "_most", 3)
    house.authorizer.invalidate(principal="user-123")
    for number in range(5):
        house.authorizer.invalidate(principal=f"other-{number}")
    assert (await admitted(house, house.request())).capability != before.capability


VINS = [f"KMHSH81C7LU1234{n:02d}" for n in range(8)]


def unlock_of(house: Any, token: str, vin: str, address: str = "") -> Any:
    path = f"/api/v1/remotecontrol/vehicles/{vin}/door/unlock"
    return house.unlock(path=path, headers={"authorization": f"Bearer {token}"}, address=address)


async def refused_as(house: Any, *requests: Any) -> list[str]:
    """The class of each refusal, empty for what was let through."""
    found = []
    for request in requests:
        answer = await house.edge.decide(request)
        policy = answer.refusal.headers["ratelimit-policy"] if isinstance(answer, Deny) else '""'
        found.append(policy.split('"')[1])
    return found


async def test_one_account_has_a_rate_over_all_of_its_vehicles(house: Any) -> None:
    for vin in VINS:
        house.record.grant("user-123", vin)
    token = house.issuer.token()
    requests = [unlock_of(house, token, vin) for vin in VINS for _ in range(5)]
    assert await refused_as(house, *requests) == [""] * RATES["user"] + ["user"] * (40 - RATES["user"])
    lock = {"method": "POST", "body": b'{"targetDoors":["all"]}'}
    locking = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    assert isinstance(await house.edge.decide(house.request("lock", headers=locking, **lock)), Allow)


async def test_one_agent_has_a_rate_over_all_customers(house: Any) -> None:
    requests = []
    for n, vin in enumerate(VINS):
        house.record.grant(f"customer-{n}", vin)
        token = house.issuer.token(**acting("agent-7", vin) | {"sub": f"customer-{n}"})
        requests += [unlock_of(house, token, vin) for _ in range(3)]
    assert await refused_as(house, *requests) == [""] * RATES["agent"] + ["agent"] * (24 - RATES["agent"])


async def test_one_client_and_one_address_have_a_rate_over_all_accounts(house: Any) -> None:
    requests = []
    for n in range(RATES["address"] + 2):
        house.record.grant(f"user-{n}", VIN)
        client = "web" if n < RATES["client"] else "mobile-app"
        token = house.issuer.token(sub=f"user-{n}", client_id=client)
        requests.append(unlock_of(house, token, VIN, "192.0.2.7"))
    assert await refused_as(house, *requests) == [""] * RATES["address"] + ["address"] * 2
    house.record.grant("user-x", VIN)
    web = house.issuer.token(sub="user-x", client_id="web")
    assert await refused_as(house, unlock_of(house, web, VIN, "192.0.2.8")) == ["client"]


async def test_a_caller_is_told_the_least_of_what_is_left_of_its_own(house: Any) -> None:
    """What there is of the rate of a client or an address says what others do."""
    told = []
    for n in (1, 2, 3):
        vin = f"KMHSH81C7LU12345{n}"
        house.record.grant("user-123", vin)
        for _ in range(7):
            path = f"/api/v1/remotecontrol/vehicles/{vin}/door/unlock"
            answer = await house.edge.decide(house.unlock(path=path))
            assert isinstance(answer, Allow)
            told.append(answer.headers["ratelimit"])
    assert (told[0], told[6]) == ('"command";r=9;t=6', '"command";r=3;t=42')
    assert told[14:] == ['"command";r=9;t=6', *(f'"command";r={n};t={(10 - n) * 6}' for n in range(8, 2, -1))]
    house.record.grant("user-123", VIN)
    last = [await house.edge.decide(house.unlock()) for _ in range(9)]
    assert last[-1].headers == {"ratelimit": '"user";r=0;t=60', "ratelimit-policy": '"user";q=30;w=60'}


async def test_a_refusal_says_that_there_is_a_right_only_where_it_was_seen(house: Any) -> None:
    foreign = f"/api/v1/remotecontrol/vehicles/{FOREIGN}/door/status"
    for _ in range(RATES["unknown"]):
        await denied(house, house.request(foreign), "VEHICLE_NOT_FOUND")
    await denied(house, house.request(foreign), "RATE_LIMITED")
    told = [(each.refused_for, each.has_right) for each in house.decisions]
    assert told == [("VEHICLE_NOT_FOUND", False)] * RATES["unknown"] + [("RATE_LIMITED", False)]
    house.record.locked.add("user-123")
    house.clock.at += 3_600
    await denied(house, house.request(foreign), "ACCOUNT_LOCKED")
    await denied(house, house.request(), "ACCOUNT_LOCKED")
    told = [(each.refused_for, each.has_right) for each in house.decisions[-2:]]
    assert told == [("ACCOUNT_LOCKED", False), ("ACCOUNT_LOCKED", True)]
