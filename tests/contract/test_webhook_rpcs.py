"""WebhookService over real gRPC, and what it sends to a real receiver over TLS, verified by an independent library."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import standardwebhooks
from ecarus.remotecontrol.door.v1 import webhook_pb2
from ecarus.remotecontrol.door.v1 import webhook_service_pb2 as rpc
from ecarus.remotecontrol.door.v1.webhook_service_pb2_grpc import (
    WebhookServiceStub,
    add_WebhookServiceServicer_to_server,
)
from google.protobuf.json_format import MessageToDict, ParseDict
from starlette.responses import Response

from mesh.pki import CertificateIdentity, Pki
from services.notification.adapters import translate, webhook_server
from services.notification.adapters.senders.names import NameResolver
from services.notification.adapters.senders.peer import PushPeer
from services.notification.adapters.senders.public_network import PublicNetwork
from services.notification.adapters.webhooks.caller import HttpWebhookCaller
from services.notification.adapters.webhooks.secrets import SecretBox
from services.notification.adapters.webhooks.urls import PrivateAddresses, UrlRules
from services.notification.domain.webhooks import Registrant
from tests.contract.conftest import ServedRoom
from tests.support.clocks import FakeClock
from tests.support.notification_harness import VIN
from tests.support.webhook_harness import WebhookHarness, webhook_harness
from tests.support.webhook_receiver import PartnerReceiver, partner_receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

READ, WRITE = "webhooks.read", "webhooks.write"


class ShiftedClock(FakeClock):
    """The wall clock, which the test moves on."""

    def __init__(self) -> None:
        super().__init__(datetime.now(UTC))


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("partners"), datetime.now(UTC))


@pytest.fixture
async def partner(authority: Pki) -> AsyncIterator[PartnerReceiver]:
    identity = CertificateIdentity("partner", dns=("localhost",), client=False)
    async with partner_receiver(authority.ensure(identity)) as receiver:
        yield receiver


@pytest.fixture
def private() -> PrivateAddresses:
    return PrivateAddresses.LOOPBACK


@pytest.fixture
async def house(tmp_path: Path, authority: Pki, private: PrivateAddresses) -> AsyncIterator[WebhookHarness]:
    rules, resolver = UrlRules(private), NameResolver()
    trust = ssl.create_default_context(cafile=str(authority.ca))
    network = PublicNetwork(rules.allows, resolver)
    peer = PushPeer(trust, seconds=3, concurrency=16, per_host=4, network=network)
    clock = ShiftedClock()
    caller = HttpWebhookCaller(peer, rules, SecretBox(b"k" * 32), clock, resolver)
    async with webhook_harness(
        f"sqlite:///{tmp_path}/notification.sqlite3", clock=clock, caller=caller
    ) as harness:
        yield harness
    await caller.close()


@pytest.fixture
def served() -> ServedRoom:
    return ServedRoom("notification", [webhook_server.SERVICE], webhook_server.POLICY, translate.refusal_of)


@pytest.fixture
def grpc_servicer(house: WebhookHarness) -> webhook_server.WebhookServicer:
    return webhook_server.WebhookServicer(house.api)


@pytest.fixture
def grpc_add_to_server() -> Any:
    return add_WebhookServiceServicer_to_server


@pytest.fixture
def grpc_stub_cls() -> type[WebhookServiceStub]:
    return WebhookServiceStub


class Partner:
    """Somebody with webhooks."""

    def __init__(self, stub: WebhookServiceStub, signer: Any, house: WebhookHarness) -> None:
        self._stub, self._signer, self.house = stub, signer, house

    def said(self, action: str, correlation_id: str = "", **claims: Any) -> Any:
        token = self._signer.capability("", action, subject="user-123", **{"cred": "issuer-key", **claims})
        more = (("x-correlation-id", correlation_id),) if correlation_id else ()
        return (("x-ecarus-capability", token), ("x-envoy-original-path", "/webhooks"), *more)

    async def register(
        self, url: str, name: str = "mine", correlation_id: str = "c-1", **wish: Any
    ) -> dict[str, Any]:
        webhook = ParseDict({"url": url, **wish}, webhook_pb2.NewWebhook())
        request = rpc.RegisterWebhookRequest(webhook_id=name, webhook=webhook)
        answer = await self._stub.RegisterWebhook(request, metadata=self.said(WRITE, correlation_id))
        return MessageToDict(answer)

    async def ask(
        self, method: str, name: str = "mine", correlation_id: str = "", **said: Any
    ) -> dict[str, Any]:
        action = READ if method in {"GetWebhook", "ListWebhookDeliveries", "ListWebhooks"} else WRITE
        about = {} if method == "ListWebhooks" else {"webhook_id": name}
        request = getattr(rpc, f"{method}Request")(**about, **said)
        answer = await getattr(self._stub, method)(request, metadata=self.said(action, correlation_id))
        return MessageToDict(answer, always_print_fields_with_no_presence=True)

    async def active(self, partner: PartnerReceiver) -> dict[str, Any]:
        """Register it, and have it answer its challenge."""
        made = await self.register(partner.url())
        await self.house.settle()
        await self.house.settle()  # its first heartbeat
        partner.secret = made["secret"]
        return made


@pytest.fixture
def mine(grpc_stub: WebhookServiceStub, signer: Any, house: WebhookHarness) -> Partner:
    return Partner(grpc_stub, signer, house)


async def refused(call: Any, problem: Any) -> dict[str, Any]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    document: dict[str, Any] = problem(error.value)
    return document


async def test_from_registering_to_a_verified_delivery(mine: Partner, partner: PartnerReceiver) -> None:
    made = await mine.active(partner)
    assert made["state"] == "PENDING"
    shown = await mine.ask("GetWebhook")
    assert (shown["state"], shown["url"], "secret" in shown) == ("ACTIVE", partner.url(), False)
    assert shown["backlog"]["waiting"] == 0
    await mine.house.tell(mine.house.command("cmd-1", "SUCCESS"))
    await mine.house.settle()
    (message,) = await partner.until("command.finished")
    assert message["data"]["data"]["commandId"] == "cmd-1"
    headers = partner.headers[-1]
    assert headers["webhook-id"] == message["data"]["id"]
    assert headers["content-type"] == "application/json"
    listed = await mine.ask("ListWebhookDeliveries")
    (delivery,) = listed["deliveries"]
    assert (delivery["status"], delivery["responseStatus"], delivery["attempts"]) == ("DELIVERED", 204, 1)
    assert (delivery["eventId"], delivery["vin"]) == (message["data"]["id"], VIN)
    stored = await mine.house.database.read(
        lambda c: c.exec_driver_sql("SELECT secret FROM webhook").scalar()
    )
    assert made["secret"].encode() not in bytes(stored)


async def test_a_forged_changed_or_old_message_is_none(mine: Partner, partner: PartnerReceiver) -> None:
    made = await mine.active(partner)
    await mine.ask("TestWebhook", correlation_id="t-1")
    await mine.house.settle()
    await partner.until("webhook.test")
    body, headers = partner.raw[-1], partner.headers[-1]
    verifier = standardwebhooks.Webhook(made["secret"])
    assert verifier.verify(body, headers)["type"] == "webhook.test"
    at = int(headers["webhook-timestamp"])
    for changed, said in (
        (body + b" ", headers),
        (body, {**headers, "webhook-id": "another"}),
        (body, {**headers, "webhook-timestamp": str(at + 1)}),
        (body, {**headers, "webhook-timestamp": str(at - 301)}),
        (body, {**headers, "webhook-signature": "v1,AAAA"}),
    ):
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            verifier.verify(changed, said)


async def test_both_secrets_sign_after_a_rotation(mine: Partner, partner: PartnerReceiver) -> None:
    made = await mine.active(partner)
    rotated = await mine.ask("RotateWebhookSecret", correlation_id="r-1")
    assert rotated["secret"] != made["secret"]
    assert (await mine.ask("RotateWebhookSecret", correlation_id="r-1"))["secret"] == rotated["secret"]
    for number, secret in enumerate((made["secret"], rotated["secret"])):
        partner.secret = secret
        await mine.ask("TestWebhook", correlation_id=f"t-{number}")
        await mine.house.settle()
    assert len(partner.of("webhook.test")) == 2


async def test_under_another_key_it_fails_with_a_reason_until_the_secret_is_rotated(
    mine: Partner, partner: PartnerReceiver, house: WebhookHarness
) -> None:
    await mine.active(partner)
    house.caller._box = SecretBox(b"another key of 32 bytes and more.")
    await house.tell(house.door())
    await house.settle()
    (waiting,) = (await mine.ask("ListWebhookDeliveries"))["deliveries"]
    assert (waiting["status"], waiting["attempts"], waiting["failure"]) == ("PENDING", 1, "SECRET_NOT_OPENED")
    assert (await mine.ask("GetWebhook"))["lastFailure"] == "SECRET_NOT_OPENED"
    assert "secret" not in await mine.register(partner.url())  # the same request again
    partner.secret = (await mine.ask("RotateWebhookSecret", correlation_id="r-1"))["secret"]
    await house.later(seconds=6)
    await partner.until("door.status.updated")
    (delivered,) = (await mine.ask("ListWebhookDeliveries"))["deliveries"]
    assert delivered["status"] == "DELIVERED"


async def test_a_challenge_that_cannot_be_signed_disables_it(
    mine: Partner, partner: PartnerReceiver, house: WebhookHarness
) -> None:
    await mine.register(partner.url())
    house.caller._box = SecretBox(b"another key of 32 bytes and more.")
    await house.settle()
    await house.later(seconds=6)
    await house.later(seconds=31)
    shown = await mine.ask("GetWebhook")
    assert (shown["state"], shown["disabledReason"]) == ("DISABLED", "CHALLENGE_FAILED")
    assert (shown["lastFailure"], partner.asked) == ("SECRET_NOT_OPENED", 0)


async def test_a_receiver_that_is_down_gets_it_later_and_once_it_is_gone_nothing(
    mine: Partner, partner: PartnerReceiver
) -> None:
    await mine.active(partner)
    partner.secret = ""  # this clock goes ahead of the verifier's
    redirect = Response(status_code=307, headers={"location": partner.url()})
    partner.answers += [Response(status_code=503, headers={"retry-after": "30"}), redirect, 6.0]
    await mine.house.tell(mine.house.door())
    await mine.house.settle()
    (waiting,) = (await mine.ask("ListWebhookDeliveries"))["deliveries"]
    assert (waiting["status"], waiting["failure"]) == ("PENDING", "STATUS_503")
    await mine.house.later(seconds=31)
    (waiting,) = (await mine.ask("ListWebhookDeliveries"))["deliveries"]
    assert (waiting["attempts"], waiting["failure"]) == (2, "STATUS_307")  # and it was led nowhere
    await mine.house.later(minutes=2)
    async with asyncio.timeout(60):
        while (waiting := (await mine.ask("ListWebhookDeliveries"))["deliveries"][0])["attempts"] < 3:
            await mine.house.settle()
    mine.house.clock.advance(1_000)
    partner.answers.clear()
    await mine.house.settle()
    await partner.until("door.status.updated")
    partner.answers.append(Response(status_code=410))
    await mine.house.tell(mine.house.door())
    await mine.house.settle()
    shown = await mine.ask("GetWebhook")
    assert (shown["state"], shown["disabledReason"]) == ("DISABLED", "GONE")


async def test_a_long_answer_is_read_no_further(mine: Partner, partner: PartnerReceiver) -> None:
    await mine.active(partner)
    partner.answers.append(Response(b"x" * 5_000_000))
    await mine.house.tell(mine.house.door())
    await mine.house.settle()
    (delivery,) = (await mine.ask("ListWebhookDeliveries"))["deliveries"]
    assert delivery["status"] == "DELIVERED"


async def test_revived_it_is_replayed_what_it_missed(
    mine: Partner, partner: PartnerReceiver, problem: Any
) -> None:
    await mine.active(partner)
    await mine.ask("TestWebhook", correlation_id="t-1")
    await mine.house.tell(mine.house.command("cmd-1", "SUCCESS"))
    await mine.house.settle()
    (first,) = await partner.until("command.finished")
    partner.answers.append(Response(status_code=410))
    await mine.house.tell(mine.house.command("cmd-2", "SUCCESS"))
    await mine.house.settle()
    await mine.house.tell(mine.house.command("cmd-3", "SUCCESS"))  # while it is disabled
    after = webhook_pb2.WebhookReplay(after=first["data"]["id"])
    document = await refused(mine.ask("ReplayWebhook", replay=after), problem)
    assert (document["code"], document["status"]) == ("WEBHOOK_NOT_ACTIVE", 409)
    await mine.ask("EnableWebhook")
    await mine.house.settle()
    assert (await mine.ask("ReplayWebhook", replay=after, correlation_id="p-1"))["replayed"] == 2
    await mine.house.settle()
    told = [each["data"]["data"]["commandId"] for each in partner.of("command.finished")]
    assert told[0] == "cmd-1"
    assert set(told) == {"cmd-1", "cmd-2", "cmd-3"}


async def test_a_certificate_of_somebody_else_is_not_trusted(mine: Partner, tmp_path: Path) -> None:
    other = Pki(tmp_path / "other", datetime.now(UTC))
    pair = other.ensure(CertificateIdentity("partner", dns=("localhost",), client=False))
    async with partner_receiver(pair) as receiver:
        await mine.register(receiver.url())
        await mine.house.settle()
        shown = await mine.ask("GetWebhook")
        assert (shown["state"], shown["lastFailure"]) == ("PENDING", "CONNECT_ERROR")
        assert receiver.asked == 0


@pytest.mark.parametrize("private", [PrivateAddresses.NONE])
@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hook",
        "https://user@example.com/hook",
        "https://user:password@example.com/hook",
        "https://example.com/hook#part",
        "https://example.com:22/hook",
        "https://example.com:8080/hook",
        "https://127.0.0.1/hook",
        "https://127.1/hook",
        "https://2130706433/hook",
        "https://0x7f000001/hook",
        "https://0/hook",
        "https://[::1]/hook",
        "https://[::ffff:10.0.0.1]/hook",
        "https://169.254.169.254/latest/meta-data",
        "https://10.1.2.3/hook",
        "https://100.64.0.1/hook",
        "https://localhost/hook",
    ],
)
async def test_a_url_that_may_not_be_called_is_not_registered(mine: Partner, url: str, problem: Any) -> None:
    document = await refused(mine.register(url), problem)
    assert (document["code"], [each["field"] for each in document["errors"]]) == ("INVALID_REQUEST", ["url"])
    assert not (await mine.ask("ListWebhooks"))["webhooks"]


@pytest.mark.parametrize("private", [PrivateAddresses.NONE])
async def test_a_name_that_comes_to_mean_another_address_leads_nowhere(
    mine: Partner, partner: PartnerReceiver, monkeypatch: pytest.MonkeyPatch, house: WebhookHarness
) -> None:
    looked_up, there = [], ["93.184.216.34"]

    def lookup(host: Any, port: Any, **_: Any) -> Any:
        looked_up.append(host)
        return [(2, 1, 6, "", (there[0], port))]

    monkeypatch.setattr("services.notification.adapters.senders.names.getaddrinfo", lookup)
    url = partner.url().replace(str(partner.port), "443")
    await mine.register(url)
    there[0] = "127.0.0.1"
    await house.settle()
    assert looked_up == ["localhost", "localhost"]
    assert partner.asked == 0
    assert (await mine.ask("GetWebhook"))["lastFailure"] == "ADDRESS_NOT_ALLOWED_ERROR"


async def test_what_makes_no_sense_is_refused_by_name(
    mine: Partner, partner: PartnerReceiver, problem: Any
) -> None:
    url = partner.url()
    for wish, field in (
        ({"eventTypes": ["door.opened"]}, "webhook.event_types[0]"),
        ({"vehicles": ["x"]}, "webhook.vehicles[0]"),
        ({"description": "a\u202eb"}, "description"),
        ({"url": "https://" + "a" * 2_048 + ".example"}, "webhook.url"),
    ):
        document = await refused(mine.register(**{"url": url, **wish}), problem)
        assert document["code"] == "INVALID_REQUEST"
        assert field.rpartition(".")[2].replace("event_types", "eventTypes") in document["errors"][0]["field"]
    for method in ("GetWebhook", "RotateWebhookSecret", "EnableWebhook", "TestWebhook"):
        assert (await refused(mine.ask(method), problem))["code"] == "WEBHOOK_NOT_FOUND"
    both = webhook_pb2.WebhookReplay(after="x")
    both.since.GetCurrentTime()
    assert (await refused(mine.ask("ReplayWebhook", replay=both), problem))["code"] == "INVALID_REQUEST"
    await mine.active(partner)
    unknown = webhook_pb2.WebhookReplay(after="unknown")
    document = await refused(mine.ask("ReplayWebhook", replay=unknown), problem)
    assert (document["code"], document["status"]) == ("WEBHOOK_EVENT_NOT_FOUND", 404)
    for name in ("b", "c"):
        await mine.register(url, name, f"c-{name}")
    document = await refused(mine.register(url, "d", "c-d"), problem)
    assert (document["code"], document["status"]) == ("TOO_MANY_WEBHOOKS", 409)
    document = await refused(mine.register(url + "&x", "b", "c-b"), problem)
    assert (document["code"], document["status"]) == ("CORRELATION_ID_REUSED", 422)
    assert len((await mine.ask("DeleteWebhook", "b"))["webhooks"]) == 2


async def test_whose_they_are_says_the_capability_and_the_key(
    grpc_stub: WebhookServiceStub, mine: Partner, signer: Any, partner: PartnerReceiver, house: WebhookHarness
) -> None:
    await mine.active(partner)
    for claims in ({"subject": "user-456"}, {"subject": "user-123", "cred": "key_77"}):
        token = signer.capability("", READ, **claims)
        metadata = (("x-ecarus-capability", token), ("x-envoy-original-path", "/webhooks"))
        answer = await grpc_stub.ListWebhooks(rpc.ListWebhooksRequest(), metadata=metadata)
        assert not answer.webhooks
    assert len(await house.api.listed(Registrant("user-123"))) == 1
