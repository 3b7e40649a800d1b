"""WebhookOperatorService over real mTLS: what operators see of everybody's webhooks, and how they stop one."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import webhook_operator_service_pb2 as contract
from ecarus.remotecontrol.access.v1.webhook_operator_service_pb2_grpc import (
    WebhookOperatorServiceStub,
    add_WebhookOperatorServiceServicer_to_server,
)
from ecarus.remotecontrol.audit.v1 import audit_entry_pb2
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2, status_pb2

from services.notification.adapters import store, translate, webhook_operator_server
from services.notification.domain.webhooks import Registrant, WebhookWish
from services.notification.usecases.webhook_operation import WebhookOperation
from services.platform.audit_entry import EntryIds
from services.platform.audited_database import AuditedDatabase
from tests.contract.conftest import ServedRoom
from tests.support.notification_harness import OWNER
from tests.support.webhook_harness import ME, WebhookHarness, webhook_harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

URL = "https://partner.example:8443/hook?token=hidden"
WHY = "posts to a stranger"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[WebhookHarness]:
    async with webhook_harness(f"sqlite:///{tmp_path}/notification.sqlite3") as harness:
        yield harness


@pytest.fixture
def served() -> ServedRoom:
    return ServedRoom(
        "notification",
        [webhook_operator_server.SERVICE],
        webhook_operator_server.POLICY,
        translate.refusal_of,
    )


@pytest.fixture
def grpc_servicer(house: WebhookHarness) -> webhook_operator_server.WebhookOperatorServicer:
    audited: Any = AuditedDatabase(house.database, store.audit_outbox, EntryIds("notification"))
    operation = WebhookOperation(
        store.SqlOperatedWebhooks(audited, house.stopping),
        house.clock.now,
        changed=house.index.refresh,
        hurry=lambda: None,
    )
    return webhook_operator_server.WebhookOperatorServicer(operation)


@pytest.fixture
def grpc_add_to_server() -> Any:
    return add_WebhookOperatorServiceServicer_to_server


@pytest.fixture
def grpc_stub_cls() -> type[WebhookOperatorServiceStub]:
    return WebhookOperatorServiceStub


@pytest.fixture
def grpc_workload() -> str:
    return "operator"


async def entries(house: WebhookHarness) -> list[Any]:
    """What waits for the audit ledger."""
    rows = await house.database.read(lambda c: store.audit_outbox.waiting(c, 100))
    return [audit_entry_pb2.AuditEntry.FromString(row.entry) for row in rows]


async def refused(call: Any) -> tuple[str, list[str]]:
    """The reason, and the fields that are wrong."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    packed = dict(error.value.trailing_metadata())["grpc-status-details-bin"]
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status_pb2.Status.FromString(packed).details:
        _ = detail.Unpack(info) or detail.Unpack(bad)
    return info.reason, [each.field for each in bad.field_violations]


def stop(name: str = "mine", **changed: str) -> contract.StopWebhookRequest:
    said = {"principal": OWNER, "webhook_id": name, "reason": WHY, **changed}
    return contract.StopWebhookRequest(**said)


async def test_operators_see_every_webhook_and_neither_its_url_nor_a_secret(
    grpc_stub: Any, house: WebhookHarness
) -> None:
    await house.registered(url=URL, vins=("KMHSH81C7LU123456",))
    await house.registered("keys", "https://other.example/hook", Registrant(OWNER, "key_77"))
    answer = await grpc_stub.ListAllWebhooks(contract.ListAllWebhooksRequest())
    first, second = answer.webhooks
    assert (first.principal, first.api_key_id, first.webhook_id) == (OWNER, "", "mine")
    assert (first.host, first.vehicle_count) == ("partner.example:8443", 1)
    assert (second.api_key_id, second.host) == ("key_77", "other.example")
    assert "hidden" not in str(answer)
    assert "whsec" not in str(answer)
    assert MessageToDict(first)["state"] == "ACTIVE"
    assert not first.HasField("disabled_reason")


async def test_pages_go_on_where_the_one_before_ended(grpc_stub: Any, house: WebhookHarness) -> None:
    for name in ("a", "b", "c"):
        await house.api.register(ME, name, WebhookWish(URL), f"c-{name}")
    names, token = [], ""
    while True:
        request = contract.ListAllWebhooksRequest(page_size=2, page_token=token, principal=OWNER)
        page = await grpc_stub.ListAllWebhooks(request)
        names.append([each.webhook_id for each in page.webhooks])
        token = page.next_page_token
        if not token:
            break
    assert names == [["a", "b"], ["c"]]
    for wrong in ("x", "e30", "W10", base64.urlsafe_b64encode(b'["a","b",1]').decode().rstrip("=")):
        call = grpc_stub.ListAllWebhooks(contract.ListAllWebhooksRequest(page_token=wrong))
        assert await refused(call) == ("INVALID_REQUEST", ["pageToken"])
    for request in (
        contract.ListAllWebhooksRequest(page_size=201),
        contract.ListAllWebhooksRequest(page_token="!"),
        contract.ListAllWebhooksRequest(page_token="x" * 1201),
        contract.ListAllWebhooksRequest(principal="x" * 129),
    ):
        assert (await refused(grpc_stub.ListAllWebhooks(request)))[0] == "INVALID_REQUEST"


async def test_a_stop_is_told_and_on_the_record_under_who_stopped_it(
    grpc_stub: Any, grpc_server: Any, house: WebhookHarness
) -> None:
    await house.registered(url=URL)
    stopped = await grpc_stub.StopWebhook(stop())
    await grpc_stub.StopWebhook(stop())
    assert MessageToDict(stopped)["disabledReason"] == "OPERATOR"
    webhook, _ = await house.api.found(ME, "mine")
    assert (webhook.state.value, webhook.disabled_at) == ("DISABLED", house.clock.now())
    request = contract.EnableStoppedWebhookRequest(principal=OWNER, webhook_id="mine")
    async with grpc_server.channel("team/operator/alice") as channel:
        enabled = await WebhookOperatorServiceStub(channel).EnableStoppedWebhook(request, timeout=5)
    assert MessageToDict(enabled)["state"] == "PENDING"
    done, undone = await entries(house)
    assert (done.kind, undone.kind) == ("WEBHOOK_STOPPED", "WEBHOOK_ENABLED")
    assert done.decision == undone.decision == audit_entry_pb2.AUDIT_DECISION_ALLOWED
    assert (done.subject, undone.subject) == (OWNER, OWNER)
    assert done.actor == "spiffe://ecarus/operator"
    assert undone.actor == "spiffe://ecarus/team/operator/alice"
    assert WHY.encode() in done.SerializeToString()
    assert b"hidden" not in done.SerializeToString()


async def test_what_makes_no_sense_is_refused_by_name(grpc_stub: Any) -> None:
    for request, field in (
        (stop(principal=""), "principal"),
        (stop(name="a b"), "webhookId"),
        (stop(api_key_id="a b"), "apiKeyId"),
        (stop(reason=""), "reason"),
        (stop(reason="x" * 201), "reason"),
        (stop(reason="a\u202eb"), "reason"),
    ):
        reason, fields = await refused(grpc_stub.StopWebhook(request))
        assert (reason, set(fields)) == ("INVALID_REQUEST", {field})
    assert await refused(grpc_stub.StopWebhook(stop())) == ("WEBHOOK_NOT_FOUND", [])


@pytest.mark.parametrize("workload", ["edge", "room/status", "team/call-center"])
async def test_nobody_else_has_any_of_it(grpc_server: Any, workload: str) -> None:
    async with grpc_server.channel(workload) as channel:
        stub = WebhookOperatorServiceStub(channel)
        enable = contract.EnableStoppedWebhookRequest(principal=OWNER, webhook_id="mine")
        for call in (
            stub.ListAllWebhooks(contract.ListAllWebhooksRequest(), timeout=5),
            stub.StopWebhook(stop(), timeout=5),
            stub.EnableStoppedWebhook(enable, timeout=5),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await call
            assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_the_shared_certificate_stops_and_does_not_enable(grpc_stub: Any) -> None:
    request = contract.EnableStoppedWebhookRequest(principal=OWNER, webhook_id="mine")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await grpc_stub.EnableStoppedWebhook(request)
    assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
