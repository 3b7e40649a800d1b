"""The senders against the simulated phones' push services, over TLS on the loopback."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mesh.pki import CertificateIdentity, Pair, Pki
from mesh.ports import Ports
from mesh.push_senders import PushSenders
from phones.credentials import read_credentials
from phones.directory import FailureOrder, PhoneDirectory, PhoneFailure, PhoneKind
from phones.http2_server import Http2Answer, Http2Request, Http2Server
from phones.new_phones import registration_of
from phones.push_services import PushServices
from phones.web_push_keys import from_base64url
from services.notification.adapters.senders import open_senders
from services.notification.adapters.senders.settings import PushSettings
from services.notification.domain.messages import PushDevice, PushKind, PushMessage, PushResult
from services.platform.settings import load
from tests.support.clocks import FakeClock
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    from phones.directory import Phone
    from services.notification.usecases.ports import PushSender

PUSH_DISTANCE = Ports().push - Ports().base
DEVICE_ID = "0b7e9b1c-5f0e-4b59-9a39-0d7f5a1f9a11"
MESSAGE_ID = "8c6b7f7e-3c3e-4ac5-9d52-6c0e3c2f1a77"


@dataclass(frozen=True, slots=True)
class PushFolder:
    """Keys of the senders, made once, and a certificate for localhost."""

    senders: PushSenders
    ca: Path
    pair: Pair


@pytest.fixture(scope="session")
def push_folder(tmp_path_factory: pytest.TempPathFactory) -> PushFolder:
    folder = tmp_path_factory.mktemp("push")
    pki = Pki(folder / "pki", datetime.now(UTC))
    pair = pki.ensure(
        CertificateIdentity("phones", dns=("localhost",), addresses=("127.0.0.1",), client=False)
    )
    senders = PushSenders(folder)
    senders.ensure(Ports())
    return PushFolder(senders, pki.ca, pair)


@dataclass
class PushHarness:
    """The push services, and senders that are set up for them."""

    folder: PushFolder
    ports: Ports
    directory: PhoneDirectory = field(default_factory=lambda: PhoneDirectory(None))
    senders_clock: FakeClock = field(default_factory=FakeClock)
    services_clock: FakeClock = field(default_factory=FakeClock)
    changed: dict[str, str] = field(default_factory=dict)
    senders: Mapping[PushKind, PushSender] = field(default_factory=dict)
    asked: asyncio.Condition = field(default_factory=asyncio.Condition)
    asked_times: int = 0

    def __post_init__(self) -> None:
        self.folder.senders.ensure(self.ports)
        credentials = read_credentials(self.folder.senders.public)
        url = f"https://localhost:{self.ports.push}"
        self.services = PushServices(self.directory, credentials, url, self.services_clock.seconds)

    def settings(self) -> PushSettings:
        told = self.folder.senders.settings(self.ports, self.folder.ca)
        return load(PushSettings, {**told, **self.changed})

    async def start(self) -> None:
        self.services._server.handler = self._observed
        await self.services.start(self.ports.push, self.folder.pair.cert, self.folder.pair.key)
        self.senders = open_senders(self.settings(), self.senders_clock)

    async def reopen(self, **changed: str) -> None:
        """Open the senders anew under other settings."""
        for sender in self.senders.values():
            await sender.close()
        self.changed = changed
        self.senders = open_senders(self.settings(), self.senders_clock)

    async def close(self) -> None:
        for sender in self.senders.values():
            await sender.close()
        await self.services.close()

    def phone(self, kind: PushKind, name: str = "") -> Phone:
        phone = self.services.maker.make(name or f"phone-{len(list(self.directory))}", PhoneKind(kind.value))
        self.directory.add(phone)
        return phone

    def fail(
        self, phone: Phone, failure: PhoneFailure, times: int = 1, retry_after: int | None = None
    ) -> None:
        self.directory.fail(phone, FailureOrder(failure, retry_after), times)

    def message(self, **changed: Any) -> PushMessage:
        usual: dict[str, Any] = {
            "id": MESSAGE_ID,
            "event": "DOOR_RESULT",
            "title": "Doors unlocked",
            "body": "All doors are unlocked. 문이 열렸습니다.",
            "data": {"commandId": "cmd-1", "kind": "DOOR_RESULT"},
            "expires_at": self.senders_clock.now() + timedelta(seconds=30),
            "is_urgent": True,
            "collapse": "Y29tbWFuZC0x",
        }
        return PushMessage(**{**usual, **changed})

    async def until_asked(self, times: int) -> None:
        """Return once the push services were asked so often."""
        async with self.asked:
            await self.asked.wait_for(lambda: self.asked_times >= times)

    async def until_idle(self, connections: int) -> None:
        """Return once the push services have so many connections at most."""
        async with asyncio.timeout(60):
            while len(self.services._server.connections) > connections:  # noqa: ASYNC110  # a close is no event here
                await asyncio.sleep(0.01)

    async def _observed(self, request: Http2Request) -> Http2Answer:
        async with self.asked:
            self.asked_times += 1
            self.asked.notify_all()
        return await self.services.handle(request)

    async def send(self, phone: Phone, **changed: Any) -> PushResult:
        return await self.send_to(device_of(phone), **changed)

    async def send_to(self, device: PushDevice, **changed: Any) -> PushResult:
        return await self.senders[device.kind].send(device, self.message(**changed))


def device_of(phone: Phone, **changed: Any) -> PushDevice:
    """What the service keeps of a phone that registered."""
    registered = registration_of(phone)
    keys = registered.get("keys", {"p256dh": "", "auth": ""})
    usual: dict[str, Any] = {
        "id": DEVICE_ID,
        "kind": PushKind(registered["kind"]),
        "token": registered["token"],
        "p256dh": from_base64url(keys["p256dh"]),
        "auth": from_base64url(keys["auth"]),
    }
    return PushDevice(**{**usual, **changed})


@pytest.fixture
async def push(push_folder: PushFolder) -> AsyncIterator[PushHarness]:
    harness = PushHarness(push_folder, Ports(free_port() - PUSH_DISTANCE))
    await harness.start()
    yield harness
    await harness.close()


@dataclass
class CannedService:
    """A peer that says what it is told to, and what it was asked."""

    server: Http2Server
    answers: list[Http2Answer]
    requests: list[Http2Request]
    url: str

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.answers.append(Http2Answer(status, {k.replace("_", "-"): v for k, v in headers.items()}, body))


@pytest.fixture
async def canned(push_folder: PushFolder) -> AsyncIterator[CannedService]:
    """The last answer is repeated."""
    requests: list[Http2Request] = []
    answers: list[Http2Answer] = []

    async def answer(request: Http2Request) -> Http2Answer:
        requests.append(request)
        await asyncio.sleep(0)
        return answers.pop(0) if len(answers) > 1 else answers[0]

    server = Http2Server(answer)
    port = await server.start(free_port(), push_folder.pair.cert, push_folder.pair.key)
    yield CannedService(server, answers, requests, f"https://localhost:{port}")
    await server.close()


@pytest.fixture
async def opened(
    push_folder: PushFolder,
) -> AsyncIterator[Callable[..., Awaitable[Mapping[PushKind, PushSender]]]]:
    """Opens senders under settings of the test's own."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_with(**changed: str) -> Mapping[PushKind, PushSender]:
            push_folder.senders.ensure(Ports())
            told = push_folder.senders.settings(Ports(), push_folder.ca)
            senders = open_senders(load(PushSettings, {**told, **changed}), FakeClock())
            for sender in senders.values():
                stack.push_async_callback(sender.close)
            return senders

        yield open_with
