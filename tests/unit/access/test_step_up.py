"""Step-up authentication (RFC 9470): what needs a fresh second factor, how it is asked for, and what never does."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.door.v1 import door_command_pb2, door_command_service_pb2
from google.rpc import error_details_pb2, status_pb2

from services.access.adapters import translate
from services.access.adapters.authorizer import Allow, Deny
from services.access.adapters.identity import key_hash
from services.access.adapters.routes import Routes
from services.access.domain import key_scopes, step_up
from services.access.domain.accounts import Caller, Source
from tests.unit.access.conftest import KEY, PEPPER, VIN, acting

if TYPE_CHECKING:
    from tests.unit.access.conftest import AccessHarness

EMERGENCY = b'{"targetDoors":["all"],"unlockMode":"EMERGENCY"}'
CHALLENGE = (
    'Bearer error="insufficient_user_authentication", '
    'error_description="A stronger or more recent authentication is required", '
    'acr_values="urn:ecarus:acr:2fa", max_age="300"'
)
LOCK = {"method": "POST", "body": b'{"targetDoors":["all"]}'}
CANCEL = {"method": "POST", "body": b'{"correlationId":"a","reason":"User cancellation","force":false}'}
JSON = {"content-type": "application/json"}


def bearer(house: AccessHarness, **changed: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {house.issuer.token(**changed)}"}


async def refusal_of(house: AccessHarness, request: Any) -> Any:
    answer = await house.edge.decide(request)
    assert isinstance(answer, Deny)
    return answer.refusal


async def test_an_unlock_without_a_second_factor_is_challenged_as_the_rfc_writes_it(
    house: AccessHarness,
) -> None:
    weak = bearer(house, acr="urn:ecarus:acr:1fa")
    answer = await house.edge.decide(house.unlock(headers=weak))
    assert isinstance(answer, Deny)
    assert answer.refusal.headers == {"www-authenticate": CHALLENGE}
    denied = translate.decision(answer).denied_response
    assert denied.status.code == 401
    document = json.loads(denied.body)
    assert (document["code"], document["acrValues"], document["maxAge"]) == (
        "STEP_UP_REQUIRED",
        "urn:ecarus:acr:2fa",
        300,
    )
    assert document["mayHaveSucceeded"] is False


@pytest.mark.parametrize(
    "sign_in",
    [
        {"acr": None},
        {"acr": "urn:ecarus:acr:1fa"},
        {"acr": "urn:ecarus:acr:2fa.not"},
        {"auth_time": None},
        {"auth_time": 1_800_000_000 - 300},
        {"auth_time": 0},
    ],
)
async def test_a_weak_or_old_sign_in_does_not_unlock(house: AccessHarness, sign_in: dict[str, Any]) -> None:
    refusal = await refusal_of(house, house.unlock(headers=bearer(house, **sign_in)))
    assert refusal.reason.code == "STEP_UP_REQUIRED"


async def test_the_same_request_with_a_newer_token_is_satisfied(house: AccessHarness) -> None:
    same_id = {"x-correlation-id": "mine-1"}
    old = bearer(house, auth_time=1_800_000_000 - 301)
    assert (await refusal_of(house, house.unlock(headers=old | same_id))).reason.code == "STEP_UP_REQUIRED"
    newer = await house.edge.decide(house.unlock(headers=bearer(house) | same_id))
    assert isinstance(newer, Allow)
    assert newer.capability is not None
    capability = house.verifier.verify(newer.capability)
    assert (capability.acr, capability.authenticated_at) == ("urn:ecarus:acr:2fa", 1_800_000_000)


async def test_a_sign_in_grows_old_while_its_token_and_its_capability_live(house: AccessHarness) -> None:
    fresh = bearer(house, auth_time=1_800_000_000 - 299)
    assert isinstance(await house.edge.decide(house.unlock(headers=fresh)), Allow)
    house.clock.at += 1
    assert (await refusal_of(house, house.unlock(headers=fresh))).reason.code == "STEP_UP_REQUIRED"


async def test_an_emergency_has_a_line_of_its_own(house: AccessHarness) -> None:
    sign_in = bearer(house, auth_time=1_800_000_000 - 200)
    assert isinstance(await house.edge.decide(house.unlock(headers=sign_in)), Allow)
    refusal = await refusal_of(house, house.unlock(EMERGENCY, headers=sign_in))
    assert 'max_age="120"' in refusal.headers["www-authenticate"]
    agent = bearer(house, auth_time=1_800_000_000 - 200, **acting("agent-7"))
    assert (await refusal_of(house, house.unlock(EMERGENCY, headers=agent))).reason.code == "STEP_UP_REQUIRED"


async def test_a_stranger_is_not_challenged(house: AccessHarness) -> None:
    """Who has no right to a vehicle learns nothing of it, whatever they signed in with: not that it exists."""
    for sign_in in ({"acr": "urn:ecarus:acr:1fa"}, {"auth_time": 0}, {}):
        refusal = await refusal_of(house, house.unlock(headers=bearer(house, sub="stranger", **sign_in)))
        assert refusal.reason.code == "VEHICLE_NOT_FOUND"
        assert "www-authenticate" not in refusal.headers


@pytest.mark.parametrize(
    ("path", "form", "headers"),
    [
        ("lock", LOCK, JSON),
        ("cancel", CANCEL, JSON),
        ("status", {}, {}),
        ("history", {}, {}),
        ("config", {}, {}),
        ("diagnostics", {}, {}),
        ("updates/stream", {}, {}),
        ("commands/cmd-1", {}, {}),
    ],
)
async def test_locking_reading_and_cancelling_never_need_it(
    house: AccessHarness, path: str, form: dict[str, Any], headers: dict[str, str]
) -> None:
    silent = bearer(house, acr=None, auth_time=None)
    answer = await house.edge.decide(house.request(path, headers=silent | headers, **form))
    assert isinstance(answer, Allow), answer


def test_what_needs_it_stands_in_the_contract_and_nothing_else_does() -> None:
    routes = Routes()
    needing = {name: route.step_up for name, route in routes._native.items() if route.step_up}
    door = {name.rpartition("/")[2]: line for name, line in needing.items() if ".door.v1." in name}
    giving = ("GiveGrant", "ResumeGrant", "SeverAccess", "TransferOwnership")
    assert door == {
        "UnlockDoors": "door.unlock",
        "ApproveEmergency": "door.unlock.emergency",
        "UpdateDoorConfig": "door.config.weaken",
        "RestoreAccount": "account.restore",
        **dict.fromkeys(
            giving, "grant.write"
        ),  # to end, narrow or suspend a right makes a vehicle no less safe
        **dict.fromkeys(("RequestDataExport", "StreamDataExport", "RequestErasure"), "person.data"),
        "ListSecurityCases": "security.watch",
        **dict.fromkeys(
            ("AcknowledgeSecurityCase", "RestrictPrincipal", "LockPrincipal", "RestorePrincipal"),
            "security.act",
        ),
    }


async def test_a_setting_is_judged_by_its_service_with_what_the_capability_says(house: AccessHarness) -> None:
    put = {"method": "PUT", "body": b'{"autoLockEnabled":false}'}
    for sign_in, until in (({"acr": None}, 0.0), ({}, 1_800_000_300.0)):
        asked = house.request("config", headers=bearer(house, **sign_in) | JSON, **put)
        answer = await house.edge.decide(asked)
        assert isinstance(answer, Allow)
        assert answer.capability is not None
        state = house.verifier.verify(answer.capability).step_up
        assert state is not None
        assert (state.until, state.acr_values, state.max_age_seconds) == (until, ("urn:ecarus:acr:2fa",), 300)


def key_of(house: AccessHarness, *scopes: str) -> None:
    """Make KEY one of these scopes."""
    words = scopes or key_scopes.UNLESS_NAMED
    house.record.keys[key_hash(PEPPER, KEY)] = Caller(
        "user-123",
        "user-123",
        Source.WEB,
        scope=key_scopes.actions_of(words),
        carries=key_scopes.carried_by(words),
    )


async def test_an_api_key_unlocks_only_where_it_was_created_for_that(house: AccessHarness) -> None:
    key_of(house)
    refusal = await refusal_of(house, house.unlock())
    assert (refusal.reason.code, refusal.headers) == ("ACTION_NOT_GRANTED", {})
    assert isinstance(await house.edge.decide(house.request("lock", headers=JSON, **LOCK)), Allow)


@pytest.mark.parametrize("scopes", [(), ("door.read",), ("door.diagnostics.read",)])
async def test_a_key_that_only_reads_wakes_no_vehicle(house: AccessHarness, scopes: tuple[str, ...]) -> None:
    key_of(house, *scopes)
    assert isinstance(await house.edge.decide(house.request("diagnostics")), Allow)
    check = house.request("diagnostics/check", method="POST")
    assert (await refusal_of(house, check)).reason.code == "ACTION_NOT_GRANTED"


async def test_a_key_for_checks_asks_vehicles_for_one(house: AccessHarness) -> None:
    key_of(house, "door.diagnostics.check")
    check = house.request("diagnostics/check", method="POST")
    assert isinstance(await house.edge.decide(check), Allow)


async def test_a_key_for_unlocking_is_not_one_for_emergencies(house: AccessHarness) -> None:
    key_of(house, "door.unlock")
    assert isinstance(await house.edge.decide(house.unlock()), Allow)
    refusal = await refusal_of(house, house.unlock(EMERGENCY))
    assert (refusal.reason.code, refusal.headers) == (
        "ACTION_NOT_GRANTED",
        {},
    )  # no challenge: it cannot step up
    key_of(house, "door.unlock.emergency")
    house.identity.invalidate("")
    assert isinstance(await house.edge.decide(house.unlock(EMERGENCY)), Allow)
    assert (await refusal_of(house, house.unlock())).reason.code == "ACTION_NOT_GRANTED"


async def test_over_grpc_it_has_the_same_reason_and_details(house: AccessHarness) -> None:
    message = door_command_service_pb2.UnlockDoorsRequest(
        vin=VIN, unlock=door_command_pb2.DoorUnlock(target_doors=["all"])
    ).SerializeToString()
    asked = house.request(
        "/ecarus.remotecontrol.door.v1.DoorCommandService/UnlockDoors",
        method="POST",
        body=b"\0" + len(message).to_bytes(4, "big") + message,
        team_listener=True,
        certificate="team",
        headers=bearer(house, acr=None) | {"content-type": "application/grpc"},
    )
    answer = await house.edge.decide(asked)
    assert isinstance(answer, Deny)
    headers = {
        each.header.key: each.header.value for each in translate.decision(answer).denied_response.headers
    }
    assert headers["grpc-status"] == "16"
    assert headers["www-authenticate"] == CHALLENGE
    packed = headers["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(base64.b64decode(packed + "=" * (-len(packed) % 4)))
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.reason == "STEP_UP_REQUIRED"
    assert (info.metadata["acrValues"], info.metadata["maxAge"]) == ("urn:ecarus:acr:2fa", "300")


async def test_challenges_are_counted_apart_from_commands(house: AccessHarness) -> None:
    weak = bearer(house, acr=None)
    codes = [(await refusal_of(house, house.unlock(headers=weak))).reason.code for _ in range(31)]
    assert codes == ["STEP_UP_REQUIRED"] * 30 + ["RATE_LIMITED"]
    assert isinstance(await house.edge.decide(house.unlock(headers=bearer(house))), Allow)


def test_the_table_is_read_from_one_setting() -> None:
    table = step_up.table_in("door.unlock=60:phr|phrh, grant.write=900:loa3", step_up.STRICT)
    assert table["door.unlock"] == step_up.Requirement(("phr", "phrh"), 60)
    assert table["grant.write"] == step_up.Requirement(("loa3",), 900)
    assert table["door.unlock.emergency"] == step_up.STRICT["door.unlock.emergency"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "door.unlock",
        "door.unlock=60",
        "door.lock=60:x",
        "door.unlock=0:x",
        "door.unlock=3601:x",
        "door.unlock=-1:x",
        "door.unlock=6.5:x",
        "door.unlock=60:",
        "door.unlock=60:a|",
        "door.unlock=60:a|a",
        "door.unlock=60:a b",
        'door.unlock=60:a"b',
        "door.unlock=60:a,door.unlock=60:b",
    ],
)
def test_a_table_that_says_something_else_stops_the_start(text: str) -> None:
    with pytest.raises(ValueError, match=r"line=seconds|door\.unlock"):
        step_up.table_in(text, step_up.STRICT)


def test_every_line_of_the_strict_table_wants_two_factors_within_minutes() -> None:
    assert all(
        # A person's own data, as documented, within ten minutes; what opens or gives, within five.
        each.acr_values == ("urn:ecarus:acr:2fa",)
        and each.max_age_seconds <= (600 if line == step_up.PERSONAL_DATA else 300)
        for line, each in step_up.STRICT.items()
    )
    assert step_up.SANDBOX.keys() == step_up.STRICT.keys()
