"""What holds for all three push services alike."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from phones.directory import PhoneFailure
from services.notification.domain.messages import PushKind, PushOutcome

if TYPE_CHECKING:
    from tests.contract.push_services.conftest import PushHarness

KINDS = list(PushKind)
SHORT = {"DOORS_PUSH_SECONDS": "4"}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_message_is_shown_as_it_was_meant(push: PushHarness, kind: PushKind) -> None:
    phone = push.phone(kind)
    assert (await push.send(phone)).outcome is PushOutcome.DELIVERED
    (shown,) = phone.received
    assert (shown["title"], shown["body"]) == ("Doors unlocked", "All doors are unlocked. 문이 열렸습니다.")
    assert shown["data"] == {
        "commandId": "cmd-1",
        "kind": "DOOR_RESULT",
        "id": push.message().id,
        "event": "DOOR_RESULT",
    }
    assert (shown["collapse"], shown["isUrgent"], shown["ttlSeconds"]) == ("Y29tbWFuZC0x", True, 30)
    assert (await push.send(phone, is_urgent=False)).outcome is PushOutcome.DELIVERED
    assert phone.received[1]["isUrgent"] is False


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("failure", "retry_after", "outcome", "waits"),
    [
        (PhoneFailure.GONE, None, PushOutcome.GONE, None),
        (PhoneFailure.THROTTLED, 7, PushOutcome.LATER, 7.0),
        (PhoneFailure.THROTTLED, None, PushOutcome.LATER, 60.0),
        (PhoneFailure.UNAVAILABLE, 3, PushOutcome.LATER, 3.0),
        (PhoneFailure.UNAVAILABLE, None, PushOutcome.LATER, None),
        (PhoneFailure.RESET_STREAM, None, PushOutcome.LATER, None),
        (PhoneFailure.RESET_CONNECTION, None, PushOutcome.LATER, None),
        (PhoneFailure.REDIRECT, None, PushOutcome.REFUSED, None),
    ],
)
async def test_what_fails_has_its_outcome_and_the_next_message_arrives(
    push: PushHarness,
    kind: PushKind,
    failure: PhoneFailure,
    retry_after: int | None,
    outcome: PushOutcome,
    waits: float | None,
) -> None:
    phone = push.phone(kind)
    push.fail(phone, failure, retry_after=retry_after)
    result = await push.send(phone)
    assert (result.outcome, result.retry_after) == (outcome, waits)
    assert 0 < len(result.reason) <= 64
    assert not phone.received
    assert (await push.send(phone)).outcome is PushOutcome.DELIVERED
    assert len(phone.received) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_who_hangs_holds_up_nobody_else(push: PushHarness, kind: PushKind) -> None:
    await push.reopen(**SHORT)
    dead, phone = push.phone(kind), push.phone(kind)
    push.fail(dead, PhoneFailure.HANG, times=5)
    assert (await push.send(phone)).outcome is PushOutcome.DELIVERED
    hanging = [asyncio.create_task(push.send(dead)) for _ in range(5)]
    for _ in range(3):
        assert (await push.send(phone)).outcome is PushOutcome.DELIVERED
    results = await asyncio.gather(*hanging)
    assert {(each.outcome, each.reason) for each in results} == {(PushOutcome.LATER, "TIMEOUT")}
    assert (await push.send(phone)).outcome is PushOutcome.DELIVERED


async def test_requests_that_were_given_up_use_nothing_up(push: PushHarness) -> None:
    await push.reopen(**SHORT)
    phone = push.phone(PushKind.APNS)
    push.fail(phone, PhoneFailure.HANG, times=120)
    results = await asyncio.gather(*(push.send(phone) for _ in range(120)))
    assert {each.outcome for each in results} == {PushOutcome.LATER}
    phone.failures.clear()
    results = await asyncio.gather(*(push.send(phone) for _ in range(20)))
    assert {(each.outcome, each.reason) for each in results} == {(PushOutcome.DELIVERED, "")}


@pytest.mark.parametrize("kind", KINDS)
async def test_messages_share_connections_and_those_that_are_idle_have_an_end(
    push: PushHarness, kind: PushKind
) -> None:
    phone = push.phone(kind)
    await push.send(phone)
    before = push.services.connections
    for _ in range(10):
        assert (await push.send(phone)).outcome is PushOutcome.DELIVERED
    assert push.services.connections == before
    results = await asyncio.gather(*(push.send(phone) for _ in range(40)))
    assert {each.outcome for each in results} == {PushOutcome.DELIVERED}
    assert push.services.connections <= before + 40
    await push.until_idle(16 + 1)  # and the token endpoint's


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_too_late_or_too_large_is_not_sent(push: PushHarness, kind: PushKind) -> None:
    phone = push.phone(kind)
    late = await push.send(phone, expires_at=push.senders_clock.now())
    assert (late.outcome, late.reason) == (PushOutcome.REFUSED, "EXPIRED")
    large = await push.send(phone, body="문" * 2_000)
    assert (large.outcome, large.reason) == (PushOutcome.REFUSED, "TOO_LARGE")
    assert push.services.connections == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_a_push_service_that_is_away_is_an_outcome(push: PushHarness, kind: PushKind) -> None:
    phone = push.phone(kind)
    await push.services.close()
    result = await push.send(phone)
    assert (result.outcome, result.reason) == (PushOutcome.LATER, "CONNECT_ERROR")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_push_service_with_a_certificate_of_another_ca_is_told_nothing(
    push: PushHarness, kind: PushKind
) -> None:
    await push.reopen(DOORS_PUSH_CA="")  # the machine's own CAs
    phone = push.phone(kind)
    result = await push.send(phone)
    assert (result.outcome, result.reason) == (PushOutcome.LATER, "CONNECT_ERROR")
    assert not phone.received


@pytest.mark.parametrize("kind", KINDS)
async def test_a_phone_that_was_thrown_away_is_gone(push: PushHarness, kind: PushKind) -> None:
    phone = push.phone(kind)
    push.directory.remove(phone.name)
    assert (await push.send(phone)).outcome is PushOutcome.GONE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("failure", list(PhoneFailure))
async def test_nothing_that_is_logged_or_returned_lets_anybody_send(
    push: PushHarness, kind: PushKind, failure: PhoneFailure
) -> None:
    await push.reopen(DOORS_PUSH_SECONDS="1")
    phone = push.phone(kind)
    push.fail(phone, failure)
    with capture_logs() as logs:
        result = await push.send(phone)
    told = f"{logs} {result}"
    assert phone.token not in told
    assert phone.token.rpartition("/")[2] not in told
    assert "Doors unlocked" not in told
