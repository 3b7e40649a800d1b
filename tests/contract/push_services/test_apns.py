"""APNs over HTTP/2 with provider tokens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from services.notification.domain.messages import PushKind, PushOutcome
from tests.contract.push_services.conftest import MESSAGE_ID, device_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.contract.push_services.conftest import CannedService, PushHarness


async def test_the_headers_say_what_it_is(push: PushHarness, canned: CannedService) -> None:
    phone = push.phone(PushKind.APNS)
    await push.reopen(DOORS_APNS_URL=canned.url)
    canned.say(200)
    await push.send(phone)
    await push.send(phone, is_urgent=False)
    urgent, other = (request.headers for request in canned.requests)
    assert urgent[":path"] == f"/3/device/{phone.token}"
    expected = {
        "apns-topic": "run.ecarus.remote-door",
        "apns-push-type": "alert",
        "apns-priority": "10",
        "apns-expiration": str(int(push.message().expires_at.timestamp())),
        "apns-collapse-id": "Y29tbWFuZC0x",
        "apns-id": MESSAGE_ID,
    }
    assert {name: urgent[name] for name in expected} == expected
    assert other["apns-priority"] == "5"
    assert urgent["authorization"] == other["authorization"]


async def test_the_provider_token_is_renewed_between_20_and_60_minutes(push: PushHarness) -> None:
    """The push service refuses one that is older than 60 minutes, and one that is newer by less than 20."""
    phone = push.phone(PushKind.APNS)
    for _ in range(20):
        assert (await push.send(phone)).outcome is PushOutcome.DELIVERED
        for clock in (push.senders_clock, push.services_clock):
            clock.advance(600)
    assert phone.count == 20
    assert push.services.connections == 1


async def test_a_provider_token_that_has_ended_by_apples_clock_is_renewed_if_that_is_allowed(
    push: PushHarness,
) -> None:
    phone = push.phone(PushKind.APNS)
    await push.send(phone)
    push.services_clock.advance(3_700)
    push.senders_clock.advance(1_100)
    result = await push.send(phone)
    assert (result.outcome, result.reason) == (PushOutcome.LATER, "ExpiredProviderToken")
    push.senders_clock.advance(200)
    assert (await push.send(phone)).outcome is PushOutcome.DELIVERED


async def test_a_key_that_apple_does_not_know_removes_no_device(push: PushHarness, tmp_path: Path) -> None:
    phone = push.phone(PushKind.APNS)
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "other.p8").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    await push.reopen(DOORS_APNS_KEY=str(tmp_path / "other.p8"))
    result = await push.send(phone)
    assert (result.outcome, result.reason) == (PushOutcome.LATER, "InvalidProviderToken")


async def test_an_app_is_one_of_the_topics(push: PushHarness) -> None:
    phone = push.phone(PushKind.APNS)
    unknown = await push.send_to(device_of(phone, app="com.example.other"))
    assert (unknown.outcome, unknown.reason) == (PushOutcome.REFUSED, "UNKNOWN_APP")
    assert (
        await push.send_to(device_of(phone, app="run.ecarus.remote-door"))
    ).outcome is PushOutcome.DELIVERED
    await push.reopen(DOORS_APNS_TOPICS="com.example.other")
    result = await push.send(phone)
    assert (result.outcome, result.reason) == (PushOutcome.REFUSED, "DeviceTokenNotForTopic")


@pytest.mark.parametrize("token", ["zz", "abc", "", "../../secret", "ab" * 31, "ab cd"])
async def test_what_is_no_device_token_is_gone(push: PushHarness, token: str) -> None:
    result = await push.send_to(device_of(push.phone(PushKind.APNS), token=token))
    assert (result.outcome, result.reason) == (PushOutcome.GONE, "BadDeviceToken")


@pytest.mark.parametrize(
    ("status", "reason", "outcome", "waits"),
    [
        (400, "BadDeviceToken", "GONE", None),
        (410, "Unregistered", "GONE", None),
        (410, "ExpiredToken", "GONE", None),
        (400, "BadTopic", "REFUSED", None),
        (400, "BadMessageId", "REFUSED", None),
        (404, "BadPath", "REFUSED", None),
        (405, "MethodNotAllowed", "REFUSED", None),
        (413, "PayloadTooLarge", "REFUSED", None),
        (403, "ExpiredProviderToken", "LATER", 60.0),
        (403, "MissingProviderToken", "LATER", 60.0),
        (429, "TooManyProviderTokenUpdates", "LATER", 60.0),
        (429, "TooManyRequests", "LATER", 60.0),
        (500, "InternalServerError", "LATER", None),
        (503, "Shutdown", "LATER", None),
    ],
)
async def test_each_answer_has_its_outcome(
    push: PushHarness, canned: CannedService, status: int, reason: str, outcome: str, waits: float | None
) -> None:
    phone = push.phone(PushKind.APNS)
    await push.reopen(DOORS_APNS_URL=canned.url)
    canned.say(status, json.dumps({"reason": reason}).encode())
    result = await push.send(phone)
    assert (result.outcome.value, result.reason, result.retry_after) == (outcome, reason, waits)


async def test_an_independent_client_is_served_over_http_2_and_told_what_is_wrong(push: PushHarness) -> None:
    def curl(*words: str) -> str:
        return subprocess.run(
            ["curl", "-s", "--cacert", str(push.folder.ca), "-w", "%{http_version} %{http_code}", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        ).stdout

    url = f"https://localhost:{push.ports.push}/3/device/{push.phone(PushKind.APNS).token}"
    answer = await asyncio.to_thread(curl, "--http2", "-d", '{"aps": {"alert": {}}}', url)
    assert answer == '{"reason": "MissingProviderToken"}2 403'
    answer = await asyncio.to_thread(curl, "--http2", "-d", "{}", "-H", "authorization: bearer a.b.c", url)
    assert answer == '{"reason": "InvalidProviderToken"}2 403'
    assert (await asyncio.to_thread(curl, "--http1.1", "-d", "{}", url)).endswith(" 000")


async def test_who_speaks_no_http_2_is_not_served(push: PushHarness) -> None:
    trust = ssl.create_default_context(cafile=str(push.folder.ca))
    reader, writer = await asyncio.open_connection("localhost", push.ports.push, ssl=trust)
    with contextlib.suppress(ConnectionError):
        writer.write(b"POST /3/device/x HTTP/1.1\r\n\r\n")
        assert await reader.read() == b""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
