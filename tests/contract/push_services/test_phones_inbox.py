"""The simulated phones' inbox: JSON and a page, for this machine and no website."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from mesh.ports import Ports
from phones.directory import MAX_PHONES, MAX_RECEIVED, PhoneDirectory
from phones.inbox_app import inbox_app
from phones.new_phones import PhoneMaker
from services.notification.adapters.senders import open_senders
from services.notification.domain.messages import PushKind, PushOutcome
from services.platform.clock import CLOCK
from tests.contract.push_services.conftest import PushHarness, device_of
from tests.support.ports import free_port_base, is_free

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.contract.push_services.conftest import PushFolder

HERE = "http://127.0.0.1:8590"
SERVER_KEY = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"


@pytest.fixture
def directory(tmp_path: Path) -> PhoneDirectory:
    return PhoneDirectory(tmp_path / "phones.json")


@pytest.fixture
async def inbox(directory: PhoneDirectory) -> AsyncIterator[httpx.AsyncClient]:
    maker = PhoneMaker(lambda token: f"https://localhost:8591/wpush/{token}", SERVER_KEY)
    transport = httpx.ASGITransport(inbox_app(directory, maker))
    async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
        yield client


async def made(inbox: httpx.AsyncClient, name: str, kind: str) -> dict[str, Any]:
    answer = await inbox.post("/phones", json={"name": name, "kind": kind})
    assert answer.status_code == 201, answer.text
    registration: dict[str, Any] = answer.json()
    assert (await inbox.get(answer.headers["location"])).json() == registration
    return registration


async def test_a_phone_says_what_its_app_registers(inbox: httpx.AsyncClient) -> None:
    fcm = await made(inbox, "one", "FCM")
    assert fcm.keys() == {"kind", "token"}
    apns = await made(inbox, "two", "APNS")
    assert len(bytes.fromhex(apns["token"])) == 32
    web = await made(inbox, "three", "WEB_PUSH")
    assert web["token"].startswith("https://localhost:8591/wpush/")
    assert web["keys"].keys() == {"p256dh", "auth"}
    assert (len(web["keys"]["p256dh"]), len(web["keys"]["auth"])) == (87, 22)
    listed = (await inbox.get("/phones")).json()["phones"]
    assert [(each["name"], each["kind"]) for each in listed] == [
        ("one", "FCM"),
        ("two", "APNS"),
        ("three", "WEB_PUSH"),
    ]


async def test_phones_outlive_their_process_and_are_their_owners_alone(
    inbox: httpx.AsyncClient, tmp_path: Path
) -> None:
    made_here = [await made(inbox, name, kind) for name, kind in (("one", "FCM"), ("two", "WEB_PUSH"))]
    await made(inbox, "three", "APNS")
    assert (await inbox.delete("/phones/three")).status_code == 204
    again = PhoneDirectory(tmp_path / "phones.json")
    assert [each.token for each in again] == [each["token"] for each in made_here]
    assert again.named("two").secrets["applicationServerKey"] == SERVER_KEY
    assert stat.S_IMODE((tmp_path / "phones.json").stat().st_mode) == 0o600


async def test_who_waits_is_woken_by_a_message(inbox: httpx.AsyncClient, directory: PhoneDirectory) -> None:
    await made(inbox, "one", "FCM")
    waiting = asyncio.create_task(inbox.get("/phones/one/inbox?count=1&wait=60"))
    await asyncio.sleep(0)
    await directory.receive(directory.named("one"), {"title": "T", "body": "B"})
    answer = (await waiting).json()
    assert answer["count"] == 1
    assert answer["messages"] == [{"number": 1, "title": "T", "body": "B"}]
    assert (await inbox.delete("/phones/one/inbox")).status_code == 204
    assert (await inbox.get("/phones/one/inbox")).json() == {"phone": "one", "count": 1, "messages": []}


async def test_an_inbox_has_an_end(inbox: httpx.AsyncClient, directory: PhoneDirectory) -> None:
    await made(inbox, "one", "FCM")
    for _ in range(MAX_RECEIVED + 5):
        await directory.receive(directory.named("one"), {"title": "T"})
    answer = (await inbox.get("/phones/one/inbox?count=1&wait=1")).json()
    assert (answer["count"], len(answer["messages"])) == (MAX_RECEIVED + 5, MAX_RECEIVED)
    assert answer["messages"][0]["number"] == 6


async def test_there_is_an_end_of_phones(inbox: httpx.AsyncClient) -> None:
    for number in range(MAX_PHONES):
        await made(inbox, f"phone-{number}", "APNS")
    answer = await inbox.post("/phones", json={"name": "more", "kind": "APNS"})
    assert answer.status_code == 409


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/phones", b"", 400),
        ("POST", "/phones", b"[" * 4_000, 400),
        ("POST", "/phones", b"x" * 5_000, 413),
        ("POST", "/phones", b"[]", 422),
        ("POST", "/phones", b'{"name": "a", "kind": "PAGER"}', 422),
        ("POST", "/phones", b'{"name": "a", "kind": ["FCM"]}', 422),
        ("POST", "/phones", b'{"name": "../a", "kind": "FCM"}', 422),
        ("POST", "/phones", b'{"name": "<b>", "kind": "FCM"}', 422),
        ("POST", "/phones", b'{"name": 7, "kind": "FCM"}', 422),
        ("POST", "/phones", b'{"name": "a", "kind": "FCM", "more": 1}', 422),
        ("POST", "/phones", b'{"name": "one", "kind": "FCM"}', 409),
        ("GET", "/phones/two", b"", 404),
        ("DELETE", "/phones/two", b"", 404),
        ("GET", "/phones/two/inbox", b"", 404),
        ("GET", "/phones/one/inbox?wait=61", b"", 422),
        ("GET", "/phones/one/inbox?wait=nan", b"", 422),
        ("GET", "/phones/one/inbox?count=many", b"", 422),
        ("POST", "/phones/one/failures", b'{"failure": "TIRED"}', 422),
        ("POST", "/phones/one/failures", b'{"failure": "GONE", "times": 0}', 422),
        ("POST", "/phones/one/failures", b'{"failure": "GONE", "times": 1001}', 422),
        ("POST", "/phones/one/failures", b'{"failure": "GONE", "times": true}', 422),
        ("POST", "/phones/one/failures", b'{"failure": "GONE", "retryAfterSeconds": -1}', 422),
        (
            "POST",
            "/phones/one/failures",
            b'{"failure": "THROTTLED", "times": 3, "retryAfterSeconds": 9}',
            204,
        ),
        ("DELETE", "/phones/one/failures", b"", 204),
        ("PUT", "/phones", b"", 405),
        ("GET", "/static/../settings.py", b"", 404),
    ],
)
async def test_bad_input_has_its_answer(
    inbox: httpx.AsyncClient, method: str, path: str, body: bytes, status: int
) -> None:
    await made(inbox, "one", "FCM")
    assert (await inbox.request(method, path, content=body)).status_code == status


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.test:8590"},
        {"host": "127.0.0.1.evil.test"},
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8080"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_a_website_uses_nothing(
    inbox: httpx.AsyncClient, directory: PhoneDirectory, headers: dict[str, str]
) -> None:
    answer = await inbox.post("/phones", json={"name": "one", "kind": "FCM"}, headers=headers)
    assert answer.status_code == 403
    assert (await inbox.get("/phones", headers=headers)).status_code == 403
    assert not list(directory)


async def test_the_page_shows_what_was_received_and_runs_nothing_of_it(
    inbox: httpx.AsyncClient, directory: PhoneDirectory
) -> None:
    assert "There is no phone yet" in (await inbox.get("/")).text
    await made(inbox, "one", "FCM")
    shown = {"receivedAt": 0.0, "title": "<script>alert(1)</script>", "body": "<b>", "data": {"a": "<i>"}}
    await directory.receive(directory.named("one"), {**shown, "isUrgent": True})
    answer = await inbox.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "&lt;script&gt;alert(1)" in answer.text
    assert "<b>" not in answer.text
    assert "<i>" not in answer.text
    assert "style=" not in answer.text
    for path in ("/static/phones.css", "/static/phones.js"):
        assert path in answer.text
        assert (await inbox.get(path)).status_code == 200


@contextlib.asynccontextmanager
async def phones_process(
    folder: PushFolder, ports: Ports, file: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    root = Path(__file__).parents[3]
    environment = {
        **{name: os.environ[name] for name in ("PATH", "PYTHONPYCACHEPREFIX") if name in os.environ},
        **folder.senders.phones_settings(ports, folder.pair),
        "DOORS_PHONES_FILE": str(file),
        "DOORS_LOG_LEVEL": "WARNING",
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "phones", cwd=root, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        await process.wait()
    assert process.returncode in {0, -signal.SIGTERM}


async def test_the_process_receives_what_is_sent_to_a_phone_also_after_its_restart(
    push_folder: PushFolder, tmp_path: Path
) -> None:
    ports = Ports(free_port_base())
    harness = PushHarness(push_folder, ports)
    senders = open_senders(harness.settings(), CLOCK)
    file = tmp_path / "phones.json"
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports.phones}", timeout=60) as inbox:
        async with phones_process(push_folder, ports, file):
            await listening(ports.phones)
            for kind in PushKind:
                await made(inbox, kind.value.replace("_", "-"), kind.value)
        async with phones_process(push_folder, ports, file):
            await listening(ports.phones)
            for phone in PhoneDirectory(file):
                soon = CLOCK.now() + timedelta(seconds=120)
                result = await senders[PushKind(phone.kind)].send(
                    device_of(phone), harness.message(expires_at=soon)
                )
                assert result.outcome is PushOutcome.DELIVERED, result
                (shown,) = (await inbox.get(f"/phones/{phone.name}/inbox")).json()["messages"]
                assert shown["title"] == "Doors unlocked"
    for sender in senders.values():
        await sender.close()


async def listening(port: int) -> None:
    """Return once somebody listens there."""
    async with asyncio.timeout(60):
        while is_free(port):  # noqa: ASYNC110  # another process's start is no event here
            await asyncio.sleep(0.05)


async def test_a_process_without_its_settings_names_them() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "phones", cwd=Path(__file__).parents[3], env={"DOORS_PHONES_PORT": "80"},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    assert process.returncode == 2
    for name in ("DOORS_PHONES_PORT", "DOORS_PHONES_TLS_KEY", "DOORS_PHONES_SENDERS"):
        assert name in said.decode()
