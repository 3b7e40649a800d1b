"""The steps in their order, each with its refusal, and what is remembered."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ecarus.remotecontrol.door.v1 import door_command_pb2, door_command_service_pb2

from services.access.adapters.capability_issuer import SigningKey
from services.access.adapters.identity import CallerIdentifier
from services.access.adapters.published_key import PUBLISHED_KEY
from services.access.domain.grants import GrantRole
from services.access.domain.permissions import EffectivePermissions
from services.platform.errors import Refusal
from tests.unit.access.admission_answers import FOREIGN, VIN, admitted, denied
from tests.unit.access.conftest import RATES, acting

UNLOCK_RPC = "/ecarus.remotecontrol.door.v1.DoorCommandService/UnlockDoors"


async def test_a_sound_request_gets_a_capability(house: Any) -> None:
    made = await admitted(house, house.unlock(path=house.request("unlock").path.replace(VIN, VIN.lower())))
    capability = house.verifier.verify(made.capability)
    assert (capability.subject, capability.actor, capability.resource) == ("user-123", "user-123", VIN)
    assert "door.unlock" in capability.actions
    assert capability.source == "MOBILE_APP"
    assert capability.expires_at == house.clock() + 60


@pytest.mark.parametrize(
    ("headers", "correlation_id"),
    [
        ({"x-correlation-id": "mine"}, "mine"),
        ({"x-correlation-id": None, "idempotency-key": "alias"}, "alias"),
        ({"x-correlation-id": "same", "idempotency-key": "same"}, "same"),
        ({"x-correlation-id": None, "idempotency-key": '"quoted"'}, "quoted"),
        ({"x-correlation-id": "same", "idempotency-key": '"same"'}, "same"),
        ({"x-correlation-id": None}, "made-1"),
    ],
)
async def test_the_correlation_id_is_the_callers(
    house: Any, headers: dict[str, str | None], correlation_id: str
) -> None:
    assert (await admitted(house, house.request(headers=headers))).correlation_id == correlation_id


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({"x-correlation-id": "two words"}, "X-Correlation-ID"),
        ({"x-correlation-id": "x" * 65}, "X-Correlation-ID"),
        ({"x-correlation-id": ""}, "X-Correlation-ID"),
        ({"x-correlation-id": "a,b"}, "X-Correlation-ID"),
        ({"x-correlation-id": None, "idempotency-key": "\u00e9"}, "Idempotency-Key"),
        ({"x-correlation-id": "a", "idempotency-key": "b"}, "Idempotency-Key"),
        ({"x-correlation-id": "a", "idempotency-key": '"b"'}, "Idempotency-Key"),
        *(
            ({"x-correlation-id": None, "idempotency-key": key}, "Idempotency-Key")
            for key in ('""', '"', '"a', 'a"', '"a b"', '"a";p=1', '"a", "b"', '"' + "x" * 65 + '"', "'a'")
        ),
    ],
)
async def test_a_bad_correlation_header_is_named(house: Any, headers: dict[str, Any], named: str) -> None:
    made = await denied(house, house.request(headers=headers), "INVALID_REQUEST")
    assert [violation.field for violation in made.refusal.violations] == [named]
    assert made.correlation_id in {"made-1", "a"}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"path": "/api/v1/elsewhere"}, "PATH_NOT_FOUND"),
        ({"path": "status", "method": "DELETE"}, "METHOD_NOT_ALLOWED"),
        ({"headers": {"authorization": None}}, "AUTHENTICATION_REQUIRED"),
        ({"headers": {"authorization": "Basic dXNlcjpwYXNz"}}, "AUTHENTICATION_REQUIRED"),
        ({"headers": {"authorization": "Bearer"}}, "TOKEN_INVALID"),
        ({"headers": {"authorization": "Bearer a,Bearer b"}}, "TOKEN_INVALID"),
        ({"headers": {"authorization": "Bearer " + "x" * 9000}}, "TOKEN_INVALID"),
        ({"headers": {"authorization": "Bearer sk_unknown"}}, "TOKEN_INVALID"),
        ({"headers": {"authorization": "Bearer not-a-token"}}, "TOKEN_INVALID"),
        ({"path": f"/api/v1/remotecontrol/vehicles/{FOREIGN}/door/status"}, "VEHICLE_NOT_FOUND"),
        ({"path": "/api/v1/remotecontrol/vehicles/KMHSH81C7LU12345/door/status"}, "INVALID_REQUEST"),
        ({"path": "/api/v1/remotecontrol/vehicles/%4BMHSH81C7LU123456/door/status"}, "INVALID_REQUEST"),
        ({"path": f"/api/v1/remotecontrol/vehicles/{VIN}/door/status?%76in={FOREIGN}"}, "INVALID_REQUEST"),
        ({"body": b'{"vin":"KMHSH81C7LU654321"}'}, "INVALID_REQUEST"),
        ({"headers": {"content-type": "application/grpc"}}, "UNSUPPORTED_MEDIA_TYPE"),
        ({"team_listener": True}, "UNSUPPORTED_MEDIA_TYPE"),
    ],
)
async def test_each_step_has_its_refusal(house: Any, changed: dict[str, Any], code: str) -> None:
    await denied(house, house.request(**changed), code)


async def test_earlier_steps_win(house: Any) -> None:
    nothing_right = {"x-correlation-id": "two words", "authorization": None}
    wrong_body = {"body": b"{", "method": "POST", "headers": nothing_right}
    await denied(house, house.request("/api/nowhere", **wrong_body), "PATH_NOT_FOUND")
    await denied(house, house.request("unlock", **wrong_body), "INVALID_REQUEST")
    wrong_body["headers"] = {"authorization": None}
    await denied(house, house.request("unlock", **wrong_body), "AUTHENTICATION_REQUIRED")
    house.record.locked.add("user-123")
    await denied(house, house.unlock(b"{"), "ACCOUNT_LOCKED")
    house.record.locked.clear()
    house.permission_cache.invalidate()
    await denied(house, house.unlock(b"{"), "MALFORMED_JSON")


async def test_an_unknown_vehicle_answers_as_a_foreign_one_with_the_same_work(house: Any) -> None:
    house.record.grant("user-456", FOREIGN)
    answers = []
    for vin in (FOREIGN, "KMHSH81C7LU999999"):
        before = len(house.record.asked)
        made = await denied(
            house, house.request(f"/api/v1/remotecontrol/vehicles/{vin}/door/status"), "VEHICLE_NOT_FOUND"
        )
        asked = [word.split()[0] for word in house.record.asked[before:] if word != "key"]
        answers.append((made.refusal.detail, dict(made.refusal.facts), asked))
    assert answers[0] == answers[1]


async def test_an_action_outside_the_role_is_named(house: Any) -> None:
    house.record.grant("user-123", VIN, GrantRole.DIGITAL_KEY)
    made = await denied(house, house.request("history"), "ACTION_NOT_GRANTED")
    assert "door.history.read" in made.refusal.detail


async def test_a_locked_agent_acts_for_nobody(house: Any) -> None:
    token = house.issuer.token(**acting("agent-7"))
    by_agent = {"authorization": f"Bearer {token}"}
    made = await admitted(house, house.request(headers=by_agent))
    assert house.verifier.verify(made.capability).actor == "agent-7"
    house.record.locked.add("agent-7")
    house.clock.at += 5
    await denied(house, house.request(headers=by_agent), "ACCOUNT_LOCKED")
    await admitted(house, house.request())


async def test_a_token_for_one_vehicle_opens_no_other(house: Any) -> None:
    house.record.grant("user-123", FOREIGN)
    for_one = {"authorization": f"Bearer {house.issuer.token(vin=FOREIGN)}"}
    path = f"/api/v1/remotecontrol/vehicles/{FOREIGN}/door/status"
    await admitted(house, house.request(path, headers=for_one))
    await denied(house, house.request(headers=for_one), "VEHICLE_NOT_FOUND")


async def test_401_carries_the_challenge(house: Any) -> None:
    missing = await denied(house, house.request(headers={"authorization": None}), "AUTHENTICATION_REQUIRED")
    assert missing.refusal.headers["www-authenticate"] == 'Bearer realm="remote-door-control"'
    expired = {"authorization": f"Bearer {house.issuer.token(exp=1)}"}
    wrong = await denied(house, house.request(headers=expired), "TOKEN_EXPIRED")
    assert 'error="invalid_token"' in wrong.refusal.headers["www-authenticate"]


async def test_a_warm_request_asks_nobody_and_signs_nothing(house: Any) -> None:
    first = await admitted(house, house.request())
    asked = len(house.record.asked)
    second = await admitted(house, house.request())
    assert second.capability == first.capability
    assert len(house.record.asked) == asked


async def test_a_capability_is_for_one_action_of_one_service(house: Any) -> None:
    routes = {
        "status": ("status", "door.status.read"),
        "history": ("command", "door.history.read"),
        "commands/cmd-1": ("command", "door.status.read"),
        "config": ("config", "door.config.read"),
        "diagnostics": ("diagnostics", "door.diagnostics.read"),
        "updates/stream": ("status", "door.updates.read"),
    }
    made = {path: (await admitted(house, house.request(path))).capability for path in routes}
    assert len(set(made.values())) == len(routes)
    for path, (service, action) in routes.items():
        claims = jwt.decode(made[path], options={"verify_signature": False})
        assert claims["aud"] == ["ecarus-rooms", f"ecarus-rooms/{service}"]
        assert house.verifier.verify(made[path]).actions == {action}


@pytest.mark.parametrize(
    ("body", "mode"),
    [
        (b'{"targetDoors":["all"]}', ""),
        (b'{"targetDoors":["all"],"unlockMode":"NORMAL"}', ""),
        (b'{"targetDoors":["all"],"unlockMode":"EMERGENCY"}', "EMERGENCY"),
    ],
)
async def test_an_emergency_is_only_what_was_asked_for_as_one(house: Any, body: bytes, mode: str) -> None:
    rest = await admitted(house, house.unlock(body))
    assert house.verifier.verify(rest.capability).mode == mode
    asked = door_command_service_pb2.UnlockDoorsRequest(vin=VIN, unlock={"target_doors": ["all"]})
    if mode:
        asked.unlock.unlock_mode = door_command_pb2.UnlockMode.EMERGENCY
    message = asked.SerializeToString()
    framed = b"\0" + len(message).to_bytes(4, "big") + message
    by_grpc = house.request(
        UNLOCK_RPC,
        method="POST",
        team_listener=True,
        certificate="team",
        body=framed,
        headers={"content-type": "application/grpc"},
    )
    assert house.verifier.verify((await admitted(house, by_grpc)).capability).mode == mode


async def test_a_capability_says_when_the_right_behind_it_ends(house: Any) -> None:
    now = house.clock()
    by_key = house.verifier.verify((await admitted(house, house.request())).capability)
    assert (by_key.ends_at, by_key.ends_with) == (math.inf, "")
    bearer = {"authorization": f"Bearer {house.issuer.token(exp=int(now) + 10)}"}
    by_token = house.verifier.verify((await admitted(house, house.request(headers=bearer))).capability)
    assert (by_token.ends_at, by_token.ends_with) == (now + 10, "TOKEN")
    assert by_token.credential.startswith("iss_")
    action = "door.status.read"
    house.record.permission_cache["user-123", VIN] = EffectivePermissions(
        frozenset({action}), now + 7, until={action: now + 8}, read_at=now - 1
    )
    house.permission_cache.invalidate()
    by_grant = house.verifier.verify((await admitted(house, house.request(headers=bearer))).capability)
    assert (by_grant.ends_at, by_grant.ends_with, by_grant.read_at) == (now + 8, "GRANT", now - 1)


async def test_the_signing_key_changes_without_a_restart(house: Any) -> None:
    first = await admitted(house, house.request())
    house.authorizer._capabilities.use(SigningKey(Ed25519PrivateKey.generate(), "next"))
    second = await admitted(house, house.request())
    assert jwt.get_unverified_header(second.capability)["kid"] == "next"
    assert second.capability != first.capability


def scoped(house: Any, scope: str) -> dict[str, str]:
    return {"authorization": f"Bearer {house.issuer.token(scope=scope)}"}


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("door", {"status", "unlock", "config"}),
        ("openid door.read", {"status", "config"}),
        ("door.control", {"unlock"}),
        ("door.status.read door.unlock", {"status", "unlock"}),
        ("openid", set()),
        ("", set()),
        ("DOOR", set()),
    ],
)
async def test_a_scope_narrows_a_token(house: Any, scope: str, allowed: set[str]) -> None:
    asked = {
        "status": house.request(headers=scoped(house, scope)),
        "config": house.request("config", headers=scoped(house, scope)),
        "unlock": house.unlock(headers=scoped(house, scope)),
    }
    for name, request in asked.items():
        if name in allowed:
            await admitted(house, request)
        else:
            made = await denied(house, request, "ACTION_NOT_GRANTED")
            assert 'error="insufficient_scope"' in made.refusal.headers["www-authenticate"]
    foreign = house.request(
        f"/api/v1/remotecontrol/vehicles/{FOREIGN}/door/status", headers=scoped(house, scope)
    )
    await denied(house, foreign, "VEHICLE_NOT_FOUND")


@pytest.mark.parametrize(
    ("path", "method", "body"),
    [
        ("unlock", "POST", b'{"targetDoors":[]}'),
        ("unlock", "POST", b'{"targetDoors":["all","driver"]}'),
        ("unlock", "POST", b'{"targetDoors":["boot"]}'),
        ("config", "PUT", b"{}"),
        ("config", "PUT", b'{"autoLockDelay":100000}'),
    ],
)
async def test_what_the_rules_of_the_contract_refuse_spends_no_command(
    house: Any, path: str, method: str, body: bytes
) -> None:
    refused = replace(house.unlock(body, path=path), method=method)
    for _ in range(RATES["refused"]):
        await denied(house, refused, "INVALID_REQUEST")
    await denied(house, refused, "RATE_LIMITED")
    for _ in range(10):
        await admitted(house, house.unlock())
    await denied(house, house.unlock(), "RATE_LIMITED")


def out_of_scope(house: Any) -> Any:
    return house.request(headers=scoped(house, "openid"))


def outside_of_the_role(house: Any) -> Any:
    house.record.grant("user-123", VIN, GrantRole.DIGITAL_KEY)
    return house.request("history")


def of_a_locked_account(house: Any) -> Any:
    house.record.locked.add("user-123")
    return house.request()


def closed_to_agents(house: Any) -> Any:
    by_agent = {"authorization": f"Bearer {house.issuer.token(**acting('agent-7'))}"}
    return house.unlock(b'{"principal":"user-456","role":"VALET"}', path="grants", headers=by_agent)


def a_ticket_out_of_scope(house: Any) -> Any:
    headers = scoped(house, "door.unlock")
    return house.request("/api/v1/remotecontrol/events/tickets", method="POST", headers=headers)


@pytest.mark.parametrize(
    "refused",
    [out_of_scope, outside_of_the_role, of_a_locked_account, closed_to_agents, a_ticket_out_of_scope],
)
async def test_whatever_is_refused_is_counted_and_spends_no_command(house: Any, refused: Any) -> None:
    request = refused(house)
    for _ in range(RATES["refused"]):
        made = await house.edge.decide(request)
        assert made.refusal.reason.code in {"ACTION_NOT_GRANTED", "ACCOUNT_LOCKED"}
    made = await denied(house, request, "RATE_LIMITED")
    assert made.refusal.headers["ratelimit-policy"] == '"refused";q=30;w=60'
    assert house.decisions[-1].refused_for == "RATE_LIMITED"
    house.record.locked.clear()
    house.permission_cache.invalidate()
    for _ in range(RATES["command"]):
        await admitted(house, house.unlock())


async def test_the_same_request_again_spends_no_command(house: Any) -> None:
    mine = {"x-correlation-id": "mine"}
    await admitted(house, house.unlock(headers=mine))
    for _ in range(20):  # an app that retries for want of an answer
        await admitted(house, house.unlock(headers=mine))
    for number in range(9):
        await admitted(house, house.unlock(headers={"x-correlation-id": f"other-{number}"}))
    await denied(house, house.unlock(headers={"x-correlation-id": "new"}), "RATE_LIMITED")
    await denied(
        house, house.unlock(headers={"x-correlation-id": "new"}), "RATE_LIMITED"
    )  # it was not counted
    await admitted(house, house.unlock(headers=mine))
    for _ in range(RATES["read"] - 21):
        await admitted(house, house.unlock(headers=mine))
    made = await denied(house, house.unlock(headers=mine), "RATE_LIMITED")  # a flood of one id is one, too
    assert made.refusal.headers["ratelimit-policy"] == '"read";q=120;w=60'


async def test_the_same_id_is_another_request_of_another_kind_agent_or_day(house: Any) -> None:
    mine = {"x-correlation-id": "mine"}
    by_agent = house.issuer.token(**acting("agent-7"))
    for _ in range(10):
        await admitted(house, house.unlock())
    await denied(house, house.unlock(headers=mine), "RATE_LIMITED")
    await admitted(house, house.unlock(headers={**mine, "authorization": f"Bearer {by_agent}"}))
    house.clock.at += 6
    await admitted(house, house.unlock(headers=mine))
    config = house.unlock(b'{"unlockMode":"ALL"}', path="config", headers=mine)
    await denied(house, replace(config, method="PUT"), "RATE_LIMITED")


async def test_the_published_key_opens_nothing_outside_of_the_sandbox(house: Any, tokens: Any) -> None:
    async def find_key(_: bytes) -> Any:
        raise AssertionError("it is not even looked up")

    identity = CallerIdentifier(
        tokens=tokens, find_key=find_key, pepper=b"x" * 16, sandbox=False, now=house.clock
    )
    with pytest.raises(Refusal, match="TOKEN_INVALID"):
        await identity.caller_of(f"Bearer {PUBLISHED_KEY}")


async def test_without_the_issuers_keys_nobody_is_told_to_sign_in_again(house: Any) -> None:
    bearer = {"authorization": f"Bearer {house.issuer.token()}"}
    house.tokens.keys.ring.expire()
    answer = await denied(house, house.request(headers=bearer), "DEPENDENCY_UNAVAILABLE")
    assert answer.refusal.retry_after_seconds == 2
    await admitted(house, house.request())  # an API key needs no issuer
    house.clock.at += 10
    await admitted(house, house.request(headers=bearer))  # the file is read again
