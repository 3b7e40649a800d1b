"""The audit ledger takes what it is told of webhooks, on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.audit.v1.audit_entry_pb2 import AuditEntry as EntryMessage

from services.audit.adapters.translate import entry_of
from services.audit.domain.entries import AuditEntry
from services.notification.adapters import store
from services.notification.domain.webhooks import Registrant, WebhookWish
from services.notification.usecases.webhook_ports import WebhookPlace
from services.platform.audit_entry import EntryIds
from services.platform.audited_database import AuditedDatabase
from tests.support.notification_harness import OWNER
from tests.support.webhook_harness import URL, WebhookHarness, webhook_harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = Registrant(OWNER, "key_0123")
MINE = WebhookPlace(OWNER, "key_0123", "mine")
WHY = "posts to a stranger"


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[WebhookHarness]:
    async with webhook_harness(database_url) as plain:
        audited = WebhookHarness(
            AuditedDatabase(plain.database, store.audit_outbox, EntryIds("notification"))
        )
        audited.rights.let(KEY)
        yield audited


async def test_the_ledger_takes_every_act_on_a_webhook(house: WebhookHarness) -> None:
    await house.registered(by=KEY)
    await house.api.register(KEY, "mine", WebhookWish(URL, description="x"), "c-2")
    await house.api.rotate(KEY, "mine", "c-3")
    await house.api.replay(KEY, "mine", "c-4", after="", since=house.clock.now())
    await house.operation.stop(MINE, WHY)
    await house.operation.enable(MINE)
    await house.api.delete(KEY, "mine")
    waiting = await house.database.read(lambda c: store.audit_outbox.waiting(c, 100))
    taken = [entry_of(EntryMessage.FromString(each.entry), "notification") for each in waiting]
    entries = [each for each in taken if isinstance(each, AuditEntry)]
    assert entries == taken  # or the first that it sets aside, and why
    assert [each.kind for each in entries] == [
        "WEBHOOK_REGISTERED",
        "WEBHOOK_CHANGED",
        "WEBHOOK_SECRET_ROTATED",
        "WEBHOOK_REPLAYED",
        "WEBHOOK_STOPPED",
        "WEBHOOK_ENABLED",
        "WEBHOOK_DELETED",
    ]
    assert {each.detail["api_key"] for each in entries} == {"key_0123"}
    assert {len(each.detail["url_sha256"]) for each in entries} == {64}
    assert [each.detail["reason"] for each in entries if "reason" in each.detail] == [WHY]
