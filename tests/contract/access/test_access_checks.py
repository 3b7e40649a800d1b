"""The door of the access service that the edge asks: who is let through, and how a denial reads."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography import x509
from ecarus.remotecontrol.door.v1 import door_command_service_pb2
from google.rpc import error_details_pb2, status_pb2

from services.platform.capability import CapabilityVerifier
from services.platform.workload import workload_of
from tests.contract.access.access_service import (
    FOREIGN,
    UNKNOWN,
    VIN,
    CheckEdge,
    door,
    headers_of,
    problem_in,
)

if TYPE_CHECKING:
    from envoy_ext_authz import external_auth_pb2


async def test_the_samples_of_the_specification_are_let_through(check: CheckEdge, signer: Any) -> None:
    answer = await check(
        door("unlock"),
        method="POST",
        headers={"content-type": "application/json"},
        raw_body=b'{"targetDoors": ["all"], "unlockMode": "NORMAL"}',
    )
    ok = answer.ok_response
    upstream = headers_of(ok.headers)
    assert upstream["x-correlation-id"] == "test-1"
    assert headers_of(ok.response_headers_to_add) == {
        "x-correlation-id": "test-1",
        "ratelimit": '"command";r=2;t=20',
        "ratelimit-policy": '"command";q=3;w=60',
    }
    assert "authorization" in ok.headers_to_remove
    capability = CapabilityVerifier(signer.jwks).verify(upstream["x-ecarus-capability"])
    assert (capability.subject, capability.resource) == ("user-123", VIN)
    assert capability.role == "OWNER"
    assert 0 < time.time() - capability.since < 60


async def test_a_denial_is_a_finished_problem_document(check: CheckEdge) -> None:
    path = door("unlock") + "?vin=KMHSH81C7LU654321"
    document = problem_in(
        await check(
            path,
            method="POST",
            headers={"content-type": "application/json"},
            raw_body=b'{"targetDoors": "all"}',
        )
    )
    assert document == {
        "type": "https://docs.ecarus.example/problems/invalid-request",
        "title": "Invalid request",
        "status": 400,
        "detail": "The request has parts that are not valid; correct them and send it again.",
        "instance": door("unlock"),
        "code": "INVALID_REQUEST",
        "correlationId": "test-1",
        "retryable": False,
        "mayHaveSucceeded": False,
        "errors": [
            {"field": "vin", "reason": "is not a query parameter of this method"},
            {"field": "targetDoors", "reason": "must be a list"},
        ],
    }


async def test_401_challenges(check: CheckEdge) -> None:
    answer = await check(door("status"), headers={"authorization": "Bearer sk_unknown"})
    assert problem_in(answer)["code"] == "TOKEN_INVALID"
    challenge = headers_of(answer.denied_response.headers)["www-authenticate"]
    assert challenge.startswith("Bearer ")
    assert 'error="invalid_token"' in challenge


async def test_unknown_and_foreign_vehicles_look_the_same(check: CheckEdge) -> None:
    answers = [
        problem_in(await check(door("status", vin), headers={"x-correlation-id": "same"}))
        for vin in (FOREIGN, UNKNOWN)
    ]
    instances = [answer.pop("instance") for answer in answers]
    assert instances == [door("status", FOREIGN), door("status", UNKNOWN)]
    assert answers[0] == answers[1]
    assert answers[0]["code"] == "VEHICLE_NOT_FOUND"


async def test_429_says_when_to_come_back(check: CheckEdge) -> None:
    command = {
        "method": "POST",
        "headers": {"content-type": "application/json", "x-correlation-id": "made", "x-request-id": "made"},
        "raw_body": b'{"targetDoors": ["all"]}',
    }
    answers = [await check(door("unlock"), **command) for _ in range(4)]
    assert [a.WhichOneof("http_response") for a in answers] == ["ok_response"] * 3 + ["denied_response"]
    assert problem_in(answers[3])["retryable"] is True
    headers = headers_of(answers[3].denied_response.headers)
    assert headers["retry-after"] == "20"
    assert headers["ratelimit-policy"] == '"command";q=3;w=60'
    assert headers["ratelimit"] == '"command";r=0;t=20'
    locks = [await check(door("lock"), **command) for _ in range(20)]
    assert {a.WhichOneof("http_response") for a in locks} == {"ok_response"}
    # What goes through says it, too; a lock has no limit.
    told = [headers_of(answer.ok_response.response_headers_to_add) for answer in answers[:3]]
    assert [each["ratelimit"] for each in told] == [
        '"command";r=2;t=20',
        '"command";r=1;t=40',
        '"command";r=0;t=60',
    ]
    assert {each["ratelimit-policy"] for each in told} == {'"command";q=3;w=60'}
    assert "ratelimit" not in headers_of(locks[0].ok_response.response_headers_to_add)
    read = headers_of((await check(door("status"))).ok_response.response_headers_to_add)
    assert (read["ratelimit"], read["ratelimit-policy"]) == ('"read";r=99;t=1', '"read";q=100;w=60')


async def test_neither_what_is_refused_nor_what_is_repeated_spends_the_rate(check: CheckEdge) -> None:
    def order(doors: str, correlation_id: str) -> dict[str, Any]:
        body = f'{{"targetDoors":{doors}}}'.encode()
        headers = {
            "content-type": "application/json",
            "x-correlation-id": correlation_id,
            "x-request-id": "r",
        }
        return {"method": "POST", "raw_body": body, "headers": headers}

    for number in range(5):
        for doors in ("[]", '["all","driver"]', '["boot"]'):
            refused = await check(door("unlock"), **order(doors, f"bad-{number}"))
            assert problem_in(refused)["code"] == "INVALID_REQUEST"
        assert (await check(door("unlock"), **order('["all"]', "mine"))).HasField("ok_response")
    for correlation_id in ("b", "c"):
        assert (await check(door("unlock"), **order('["all"]', correlation_id))).HasField("ok_response")
    spent = await check(door("unlock"), **order('["all"]', "d"))
    assert problem_in(spent)["code"] == "RATE_LIMITED"
    assert (await check(door("unlock"), **order('["all"]', "mine"))).HasField("ok_response")


async def native(check: CheckEdge, vin: str, certificate: bytes) -> external_auth_pb2.CheckResponse:
    asked = door_command_service_pb2.UnlockDoorsRequest(vin=vin, unlock={"target_doors": ["all"]})
    message = asked.SerializeToString()
    return await check(
        "/ecarus.remotecontrol.door.v1.DoorCommandService/UnlockDoors",
        listener="team",
        certificate=certificate,
        method="POST",
        headers={"content-type": "application/grpc"},
        raw_body=b"\0" + len(message).to_bytes(4, "big") + message,
    )


@pytest.mark.parametrize(
    "names",
    [
        [x509.DNSName("spiffe://ecarus/team/demo")],
        [x509.UniformResourceIdentifier("spiffe://ecarus/team/" + name) for name in ("demo", "operator")],
        [x509.UniformResourceIdentifier("spiffe://ecarus/edge")],
        [x509.UniformResourceIdentifier(f"spiffe://ecarus/vehicle/{VIN}")],
    ],
)
async def test_envoy_s_word_for_a_team_is_not_enough(check: CheckEdge, pki: Any, names: Any) -> None:
    answer = await native(check, VIN, pki.signed(names).cert.read_bytes())
    assert headers_of(answer.denied_response.headers)["grpc-status"] == "7"


async def test_a_team_s_certificate_ends_with_its_revocation_on_a_live_connection(
    access: Any, check: CheckEdge, pki: Any
) -> None:
    revoked, other = (pki.of(f"team/{name}").cert.read_bytes() for name in ("revoked", "demo"))
    assert (await native(check, VIN, revoked)).HasField("ok_response")
    workload = workload_of(revoked)
    access[0].server.revoke(frozenset({workload.certificate}))
    answer = await native(check, VIN, revoked)
    assert headers_of(answer.denied_response.headers)["grpc-status"] == "7"
    assert (await native(check, VIN, other)).HasField("ok_response")


async def test_a_native_denial_is_a_grpc_status(check: CheckEdge, pki: Any) -> None:
    answer = await native(check, FOREIGN, pki.of("team/demo").cert.read_bytes())
    denied = answer.denied_response
    headers = headers_of(denied.headers)
    assert headers["grpc-status"] == str(grpc.StatusCode.NOT_FOUND.value[0])
    encoded = headers["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(base64.b64decode(encoded + "=" * (-len(encoded) % 4)))
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, denied.body) == ("VEHICLE_NOT_FOUND", status.message)
