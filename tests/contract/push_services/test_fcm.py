"""FCM's HTTP v1 API and Google's token endpoint."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from services.notification.domain.messages import PushKind, PushOutcome
from tests.contract.push_services.conftest import device_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from services.notification.usecases.ports import PushSender
    from tests.contract.push_services.conftest import CannedService, PushHarness


async def test_many_at_once_ask_for_one_access_token(push: PushHarness) -> None:
    phone = push.phone(PushKind.FCM)
    results = await asyncio.gather(*(push.send(phone) for _ in range(20)))
    assert {each.outcome for each in results} == {PushOutcome.DELIVERED}
    assert push.services.fcm.token_requests == 1


async def test_an_access_token_is_renewed_before_its_end(push: PushHarness) -> None:
    phone = push.phone(PushKind.FCM)
    await push.send(phone)
    for clock in (push.senders_clock, push.services_clock):
        clock.advance(3_299 - 1)
    await push.send(phone)
    assert push.services.fcm.token_requests == 1
    for clock in (push.senders_clock, push.services_clock):
        clock.advance(2)
    await push.send(phone)
    assert push.services.fcm.token_requests == 2
    assert phone.count == 3


async def test_an_access_token_that_is_taken_no_longer_is_replaced_once(push: PushHarness) -> None:
    phone = push.phone(PushKind.FCM)
    await push.send(phone)
    push.services.fcm.forget_tokens()
    assert (await push.send(phone)).outcome is PushOutcome.DELIVERED
    assert push.services.fcm.token_requests == 2


async def test_a_malformed_token_is_gone(push: PushHarness) -> None:
    device = device_of(push.phone(PushKind.FCM), token="no token at all")
    result = await push.send_to(device)
    assert (result.outcome, result.reason) == (PushOutcome.GONE, "INVALID_ARGUMENT")


async def test_a_service_account_that_is_not_known_is_tried_again_later_and_seldom(
    push: PushHarness, tmp_path: Path
) -> None:
    phone = push.phone(PushKind.FCM)
    account = json.loads(push.folder.senders.service_account.read_text())
    key = rsa.generate_private_key(65_537, 2_048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "another.json").write_text(json.dumps({**account, "private_key": pem.decode()}))
    await push.reopen(DOORS_FCM_SERVICE_ACCOUNT=str(tmp_path / "another.json"))
    for _ in range(10):
        result = await push.send(phone)
        assert (result.outcome, result.reason) == (PushOutcome.LATER, "invalid_grant")
    assert push.services.fcm.token_requests == 1
    push.senders_clock.advance(6)
    await push.send(phone)
    assert push.services.fcm.token_requests == 2


async def test_a_project_that_is_not_ours_removes_no_device(push: PushHarness) -> None:
    phone = push.phone(PushKind.FCM)
    await push.reopen(DOORS_FCM_PROJECT="another")
    result = await push.send(phone)
    assert (result.outcome, result.reason) == (PushOutcome.LATER, "PERMISSION_DENIED")


def error(code: int, status: str, *details: Mapping[str, object]) -> bytes:
    return json.dumps(
        {"error": {"code": code, "status": status, "message": "m", "details": details}}
    ).encode()


def fcm_error(word: str) -> dict[str, object]:
    return {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": word}


@pytest.mark.parametrize(
    ("status", "body", "outcome", "reason"),
    [
        (400, error(400, "INVALID_ARGUMENT", fcm_error("INVALID_ARGUMENT")), "REFUSED", "INVALID_ARGUMENT"),
        (
            403,
            error(403, "PERMISSION_DENIED", fcm_error("SENDER_ID_MISMATCH")),
            "REFUSED",
            "SENDER_ID_MISMATCH",
        ),
        (404, error(404, "NOT_FOUND"), "LATER", "NOT_FOUND"),
        (404, error(404, "NOT_FOUND", fcm_error("UNREGISTERED")), "GONE", "UNREGISTERED"),
        (
            401,
            error(401, "UNAUTHENTICATED", fcm_error("THIRD_PARTY_AUTH_ERROR")),
            "LATER",
            "THIRD_PARTY_AUTH_ERROR",
        ),
        (500, error(500, "INTERNAL", fcm_error("INTERNAL")), "LATER", "INTERNAL"),
        (502, b"<html>a proxy's page</html>", "LATER", "STATUS_502"),
        (503, b"[" * 9_000, "LATER", "STATUS_503"),
        (404, b"[]", "LATER", "STATUS_404"),
        (
            400,
            b'{"error": {"status": "no \\n word", "details": [1, {"fieldViolations": 2}]}}',
            "REFUSED",
            "STATUS_400",
        ),
        (302, b"", "REFUSED", "STATUS_302"),
        (200, b"x" * 20_000, "LATER", "ANSWER_TOO_LARGE"),
    ],
)
async def test_each_answer_has_its_outcome(
    push: PushHarness,
    canned: CannedService,
    status: int,
    body: bytes,
    outcome: str,
    reason: str,
) -> None:
    phone = push.phone(PushKind.FCM)
    await push.reopen(DOORS_FCM_URL=canned.url)
    canned.say(status, body)
    result = await push.send(phone)
    assert (result.outcome.value, result.reason) == (outcome, reason)
    assert canned.requests[0].headers["authorization"].startswith("Bearer ya29.")


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (500, b"", "TOKEN_STATUS_500"),
        (200, b"nothing", "TOKEN_ANSWER_UNREADABLE"),
        (200, b'{"access_token": "a\\r\\nx: y", "expires_in": 3599}', "TOKEN_ANSWER_UNREADABLE"),
        (200, b'{"access_token": "a", "expires_in": "soon"}', "TOKEN_ANSWER_UNREADABLE"),
        (200, b'{"access_token": "a", "expires_in": -1}', "TOKEN_ANSWER_UNREADABLE"),
    ],
)
async def test_a_token_endpoint_that_answers_nonsense_is_an_outcome(
    push: PushHarness,
    canned: CannedService,
    opened: Callable[..., Awaitable[Mapping[PushKind, PushSender]]],
    tmp_path: Path,
    status: int,
    body: bytes,
    reason: str,
) -> None:
    account = json.loads(push.folder.senders.service_account.read_text())
    (tmp_path / "account.json").write_text(json.dumps({**account, "token_uri": f"{canned.url}/token"}))
    canned.say(status, body)
    senders = await opened(DOORS_FCM_SERVICE_ACCOUNT=str(tmp_path / "account.json"))
    result = await senders[PushKind.FCM].send(device_of(push.phone(PushKind.FCM)), push.message())
    assert (result.outcome, result.reason) == (PushOutcome.LATER, reason)
