"""Web Push: RFC 8030, RFC 8188, RFC 8291, RFC 8292."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import ECKey

from phones.directory import PhoneFailure
from phones.web_push_keys import UnreadableMessageError, decrypt, from_base64url
from services.notification.adapters.senders.web_push_encryption import (
    MAX_PLAINTEXT_BYTES,
    SubscriptionKeyError,
    encrypt,
)
from services.notification.domain.messages import PushKind, PushOutcome
from tests.contract.push_services.conftest import device_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.contract.push_services.conftest import CannedService, PushHarness

# RFC 8291, appendix A
PLAINTEXT = b"When I grow up, I want to be a watermelon"
SENDER_PRIVATE = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
RECEIVER_PRIVATE = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
RECEIVER_PUBLIC = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
SALT = "DGv6ra1nlYgDCS1FRnbzlw"
MESSAGE = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_"
    "yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)
KEPT = {"privateKey": RECEIVER_PRIVATE, "auth": AUTH}


def test_the_example_of_the_rfc_is_encrypted_to_the_byte() -> None:
    sender = ec.derive_private_key(int.from_bytes(from_base64url(SENDER_PRIVATE), "big"), ec.SECP256R1())
    message = encrypt(
        PLAINTEXT,
        from_base64url(RECEIVER_PUBLIC),
        from_base64url(AUTH),
        sender=sender,
        salt=lambda _: from_base64url(SALT),
    )
    assert message == from_base64url(MESSAGE)


def test_the_example_of_the_rfc_is_decrypted() -> None:
    assert decrypt(from_base64url(MESSAGE), KEPT) == PLAINTEXT


@pytest.mark.parametrize("size", [0, 1, MAX_PLAINTEXT_BYTES])
def test_every_message_is_another_and_within_4096_bytes(size: int) -> None:
    plaintext = b"\x02" * size
    made = {encrypt(plaintext, from_base64url(RECEIVER_PUBLIC), from_base64url(AUTH)) for _ in range(3)}
    assert len(made) == 3
    assert all(len(each) <= 4_096 and decrypt(each, KEPT) == plaintext for each in made)


@pytest.mark.parametrize("place", [0, 15, 20, 21, 60, 86, 100, -1])
def test_a_changed_message_is_read_by_nobody(place: int) -> None:
    message = bytearray(from_base64url(MESSAGE))
    message[place] ^= 1
    with pytest.raises(UnreadableMessageError):
        decrypt(bytes(message), KEPT)


@pytest.mark.parametrize("length", [0, 16, 20, 21, 85, 86, 90])
def test_half_a_message_is_read_by_nobody(length: int) -> None:
    with pytest.raises(UnreadableMessageError):
        decrypt(from_base64url(MESSAGE)[:length], KEPT)


@pytest.mark.parametrize(
    ("p256dh", "auth"),
    [
        (b"", b"a" * 16),
        (b"\x04" + b"\x01" * 64, b"a" * 16),  # not on the curve
        (from_base64url(RECEIVER_PUBLIC)[:-1], b"a" * 16),
        (b"\x00" * 65, b"a" * 16),
        (from_base64url(RECEIVER_PUBLIC), b"a" * 15),
    ],
)
async def test_keys_that_are_none_are_gone(push: PushHarness, p256dh: bytes, auth: bytes) -> None:
    with pytest.raises(SubscriptionKeyError):
        encrypt(b"", p256dh, auth)
    device = device_of(push.phone(PushKind.WEB_PUSH), p256dh=p256dh, auth=auth)
    result = await push.send_to(device)
    assert (result.outcome, result.reason) == (PushOutcome.GONE, "BAD_SUBSCRIPTION_KEYS")
    assert push.services.connections == 0


async def test_the_headers_say_how_and_the_token_who(push: PushHarness, canned: CannedService) -> None:
    await push.reopen(DOORS_WEB_PUSH_HOSTS=canned.url.removeprefix("https://"))
    phone = push.phone(PushKind.WEB_PUSH)
    canned.say(201)
    result = await push.send_to(device_of(phone, token=f"{canned.url}/wpush/abc?x=%2F"))
    assert result.outcome is PushOutcome.DELIVERED
    (request,) = canned.requests
    headers = request.headers
    assert headers[":path"] == "/wpush/abc?x=%2F"
    assert (headers["ttl"], headers["urgency"], headers["topic"]) == ("30", "high", "Y29tbWFuZC0x")
    assert headers["content-encoding"] == "aes128gcm"
    assert b"Doors unlocked" not in request.body
    assert json.loads(decrypt(request.body, phone.secrets))["title"] == "Doors unlocked"
    scheme, token, key = headers["authorization"].replace(",", " ").split()
    point = from_base64url(key.removeprefix("k="))
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    claims = jwt.decode(token.removeprefix("t="), ECKey.import_key(public), algorithms=["ES256"]).claims
    now = push.senders_clock.seconds()
    assert scheme == "vapid"
    assert (claims["aud"], claims["sub"]) == (canned.url, "mailto:sandbox@ecarus.internal")
    assert now < claims["exp"] <= now + 86_400


async def test_the_token_is_made_anew_before_it_ends(push: PushHarness) -> None:
    phone = push.phone(PushKind.WEB_PUSH)
    for _ in range(10):
        assert (await push.send(phone)).outcome is PushOutcome.DELIVERED
        for clock in (push.senders_clock, push.services_clock):
            clock.advance(10_000)


async def test_a_subscription_for_another_application_server_is_kept(
    push: PushHarness, tmp_path: Path
) -> None:
    phone = push.phone(PushKind.WEB_PUSH)
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "other.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    await push.reopen(DOORS_WEB_PUSH_KEY=str(tmp_path / "other.key"))
    result = await push.send(phone)
    assert (result.outcome, result.reason) == (PushOutcome.REFUSED, "STATUS_403")


@pytest.mark.parametrize(
    ("status", "outcome", "waits"),
    [
        (200, "DELIVERED", None),
        (202, "DELIVERED", None),
        (404, "GONE", None),
        (410, "GONE", None),
        (400, "REFUSED", None),
        (401, "REFUSED", None),
        (413, "REFUSED", None),
        (301, "REFUSED", None),
        (408, "LATER", None),
        (429, "LATER", 60.0),
        (500, "LATER", None),
        (507, "LATER", None),
    ],
)
async def test_each_answer_has_its_outcome(
    push: PushHarness, canned: CannedService, status: int, outcome: str, waits: float | None
) -> None:
    await push.reopen(DOORS_WEB_PUSH_HOSTS=canned.url.removeprefix("https://"))
    canned.say(status, location=f"{canned.url}/elsewhere")
    result = await push.send_to(device_of(push.phone(PushKind.WEB_PUSH), token=f"{canned.url}/p"))
    assert (result.outcome.value, result.retry_after) == (outcome, waits)
    assert [request.path for request in canned.requests] == ["/p"]


@pytest.mark.parametrize(
    ("header", "waits"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("99999999999999999999", 86_400.0),
        ("Fri, 15 Jan 2027 08:02:00 GMT", 120.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("soon", 60.0),
        ("-5", 60.0),
        ("\u0661\u0662", 60.0),
    ],
)
async def test_how_long_it_wants_to_be_left_alone_is_understood(
    push: PushHarness, canned: CannedService, header: str, waits: float
) -> None:
    await push.reopen(DOORS_WEB_PUSH_HOSTS=canned.url.removeprefix("https://"))
    canned.say(429, retry_after=header)
    result = await push.send_to(device_of(push.phone(PushKind.WEB_PUSH), token=f"{canned.url}/p"))
    assert result.retry_after == waits


async def test_an_endpoint_elsewhere_is_not_called(push: PushHarness, canned: CannedService) -> None:
    canned.say(201)
    for url in (
        f"{canned.url}/p",
        canned.url.replace("localhost", "127.0.0.1"),
        "https://localhost/p",
        "http://x/",
    ):
        result = await push.send_to(device_of(push.phone(PushKind.WEB_PUSH), token=url))
        assert (result.outcome, result.reason) == (PushOutcome.REFUSED, "ENDPOINT_NOT_ALLOWED")
    assert not canned.requests
    assert canned.server.count == 0


async def test_a_name_that_means_a_private_address_is_not_connected_to(push: PushHarness) -> None:
    await push.reopen(DOORS_WEB_PUSH_PRIVATE_ADDRESSES="false")
    phone = push.phone(PushKind.WEB_PUSH)
    result = await push.send(phone)
    assert (result.outcome, result.reason) == (PushOutcome.LATER, "ADDRESS_NOT_ALLOWED_ERROR")
    assert push.services.connections == 0


async def test_a_host_that_hangs_leaves_turns_for_the_others(
    push: PushHarness, canned: CannedService
) -> None:
    hosts = f"localhost:{push.ports.push},{canned.url.removeprefix('https://')}"
    await push.reopen(DOORS_PUSH_SECONDS="60", DOORS_PUSH_CONCURRENCY="8", DOORS_WEB_PUSH_HOSTS=hosts)
    dead = push.phone(PushKind.WEB_PUSH)
    push.fail(dead, PhoneFailure.HANG, times=20)
    hanging = [asyncio.create_task(push.send(dead)) for _ in range(20)]
    await push.until_asked(2)  # a quarter of the turns is with the host that hangs
    canned.say(201)
    alive = dataclasses.replace(device_of(dead), token=f"{canned.url}/p")
    results = [await push.send_to(alive) for _ in range(5)]
    assert {each.outcome for each in results} == {PushOutcome.DELIVERED}
    assert len(dead.failures) == 18
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
