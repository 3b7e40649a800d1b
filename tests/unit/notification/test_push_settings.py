"""Which push services there are, and where Web Push endpoints may be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpcore
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mesh.ports import Ports
from mesh.push_senders import PushSenders
from services.notification.adapters.senders import open_senders
from services.notification.adapters.senders.endpoints import (
    KNOWN_HOSTS,
    EndpointRefusedError,
    EndpointRules,
    is_public,
)
from services.notification.adapters.senders.public_network import PublicNetwork
from services.notification.adapters.senders.settings import PushSettings
from services.notification.domain.messages import PushKind
from services.platform.settings import SettingsError, load
from tests.support.clocks import FakeClock

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def senders(tmp_path_factory: pytest.TempPathFactory) -> PushSenders:
    one = PushSenders(tmp_path_factory.mktemp("push"))
    one.ensure(Ports())
    return one


def settings_of(senders: PushSenders, **changed: str | None) -> PushSettings:
    told: dict[str, str | None] = {**senders.settings(Ports(), senders.public), **changed}
    del told["DOORS_PUSH_CA"]
    return load(PushSettings, {name: value for name, value in told.items() if value is not None})


async def test_what_is_not_set_up_has_no_sender(senders: PushSenders) -> None:
    assert not open_senders(load(PushSettings, {}), FakeClock())
    assert open_senders(settings_of(senders), FakeClock()).keys() == set(PushKind)
    some = settings_of(
        senders,
        DOORS_FCM_SERVICE_ACCOUNT=None,
        DOORS_FCM_PROJECT=None,
        DOORS_WEB_PUSH_KEY=None,
        DOORS_WEB_PUSH_CONTACT=None,
    )
    opened = open_senders(some, FakeClock())
    assert opened.keys() == {PushKind.APNS}
    for sender in opened.values():
        await sender.close()


def test_the_real_push_services_are_the_defaults() -> None:
    usual = load(PushSettings, {})
    assert (usual.fcm_url, usual.apns_url) == ("https://fcm.googleapis.com", "https://api.push.apple.com")
    assert usual.web_push_private_addresses is False
    assert (usual.push_seconds, usual.push_concurrency) == (10.0, 64)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"DOORS_FCM_URL": "http://fcm.test"}, "DOORS_FCM_URL"),
        ({"DOORS_FCM_URL": "https://user@fcm.test"}, "DOORS_FCM_URL"),
        ({"DOORS_FCM_URL": "https://fcm.test/v1"}, "DOORS_FCM_URL"),
        ({"DOORS_APNS_URL": "https://apns.test?x"}, "DOORS_APNS_URL"),
        ({"DOORS_APNS_KEY_ID": "short"}, "DOORS_APNS_KEY_ID"),
        ({"DOORS_APNS_TEAM_ID": "lowercase1"}, "DOORS_APNS_TEAM_ID"),
        (
            {"DOORS_APNS_TEAM_ID": None},
            "DOORS_APNS_KEY, DOORS_APNS_KEY_ID, DOORS_APNS_TEAM_ID, DOORS_APNS_TOPICS",
        ),
        ({"DOORS_APNS_TOPICS": "a b"}, "DOORS_APNS_TOPICS"),
        ({"DOORS_APNS_TOPICS": ",".join("abcdefghijklmnopq")}, "DOORS_APNS_TOPICS"),
        ({"DOORS_APNS_KEY": "/nowhere"}, "DOORS_APNS_KEY"),
        ({"DOORS_WEB_PUSH_CONTACT": "somebody"}, "DOORS_WEB_PUSH_CONTACT"),
        ({"DOORS_WEB_PUSH_CONTACT": None}, "DOORS_WEB_PUSH_KEY, DOORS_WEB_PUSH_CONTACT"),
        ({"DOORS_WEB_PUSH_HOSTS": "https://push.test"}, "DOORS_WEB_PUSH_HOSTS"),
        ({"DOORS_WEB_PUSH_HOSTS": "*"}, "DOORS_WEB_PUSH_HOSTS"),
        ({"DOORS_WEB_PUSH_HOSTS": "a.*.test"}, "DOORS_WEB_PUSH_HOSTS"),
        ({"DOORS_FCM_PROJECT": "Not One"}, "DOORS_FCM_PROJECT"),
        ({"DOORS_FCM_SERVICE_ACCOUNT": None, "DOORS_FCM_PROJECT": "one"}, "DOORS_FCM_SERVICE_ACCOUNT"),
        ({"DOORS_PUSH_SECONDS": "0.5"}, "DOORS_PUSH_SECONDS"),
        ({"DOORS_PUSH_SECONDS": "61"}, "DOORS_PUSH_SECONDS"),
        ({"DOORS_PUSH_CONCURRENCY": "0"}, "DOORS_PUSH_CONCURRENCY"),
        ({"DOORS_PUSH_CONCURRENCY": "1001"}, "DOORS_PUSH_CONCURRENCY"),
    ],
)
def test_what_is_wrong_is_named(senders: PushSenders, changed: dict[str, str | None], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        settings_of(senders, **changed)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[" * 9_000,
        b"x" * 70_000,
        b'{"type": "authorized_user"}',
        b'{"type": "service_account", "project_id": "p"}',
    ],
)
def test_a_file_that_is_no_service_account_stops_the_start(
    senders: PushSenders, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "file").write_bytes(content)
    settings = settings_of(senders, DOORS_FCM_SERVICE_ACCOUNT=str(tmp_path / "file"))
    with pytest.raises(SettingsError, match="DOORS_FCM_SERVICE_ACCOUNT"):
        open_senders(settings, FakeClock())


@pytest.mark.parametrize(
    "changed",
    [
        {"token_uri": "http://localhost/token"},
        {"token_uri": "https://user:pass@localhost/token"},
        {"project_id": "Some Project"},
        {"private_key": "none"},
        {"client_email": 7},
    ],
)
def test_a_service_account_is_read_strictly(
    senders: PushSenders, tmp_path: Path, changed: dict[str, object]
) -> None:
    account = {**json.loads(senders.service_account.read_text()), **changed}
    (tmp_path / "file").write_text(json.dumps(account))
    settings = settings_of(senders, DOORS_FCM_SERVICE_ACCOUNT=str(tmp_path / "file"))
    with pytest.raises(SettingsError, match="DOORS_FCM_SERVICE_ACCOUNT") as refused:
        open_senders(settings, FakeClock())
    assert "PRIVATE" not in str(refused.value)


@pytest.mark.parametrize("setting", ["DOORS_APNS_KEY", "DOORS_WEB_PUSH_KEY"])
def test_a_key_of_another_curve_stops_the_start(senders: PushSenders, tmp_path: Path, setting: str) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    (tmp_path / "key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(SettingsError, match=f"{setting}: is no private key of P-256"):
        open_senders(settings_of(senders, **{setting: str(tmp_path / "key")}), FakeClock())


@pytest.mark.parametrize(
    "url",
    [
        "https://fcm.googleapis.com/fcm/send/abc",
        "https://updates.push.services.mozilla.com/wpush/v2/abc",
        "https://wns2-par02p.notify.windows.com/w/?token=abc",
        "https://web.push.apple.com/abc",
        "https://FCM.googleapis.com:443/fcm/send/abc",
    ],
)
def test_the_push_services_of_browsers_may_be_called(url: str) -> None:
    EndpointRules.read(KNOWN_HOSTS).require(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://fcm.googleapis.com/fcm/send/abc",
        "https://fcm.googleapis.com:8443/x",
        "https://fcm.googleapis.com.evil.test/x",
        "https://evil-fcm.googleapis.com/x",
        "https://notify.windows.com/x",
        "https://evilnotify.windows.com/x",
        "https://fcm.googleapis.com@evil.test/x",
        "https://user@fcm.googleapis.com/x",
        "https://evil.test/x?https://fcm.googleapis.com",
        "https://evil.test\\@fcm.googleapis.com/x",
        "https://fcm.googleapis.com/x#y",
        "https://fcm.googleapis.com/x y",
        "https://fcm.googleapis.com/x\r\nhost: y",
        "https://fcm.googleapis.com:99999/x",
        "https://[::1]/x",
        "https://[/x",
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://169.254.169.254/latest/meta-data",
        "https:///x",
        "https://fcm.googleapis.com/" + "x" * 2_048,
        "",
    ],
)
def test_nothing_else_may_be_called(url: str) -> None:
    with pytest.raises(EndpointRefusedError) as refused:
        EndpointRules.read(KNOWN_HOSTS).require(url)
    assert not url or url not in str(refused.value)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "192.0.2.1", "240.0.0.1", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b:1::1",
        "fec0::1", "192.0.0.8", "192.88.99.1", "3fff::1", "2002:808:808::1",
    ],
)  # fmt: skip
def test_an_address_of_a_network_of_its_own_is_not(address: str) -> None:
    assert not is_public(address)


async def test_a_name_with_one_private_address_is_not_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    network, tried = PublicNetwork(), []

    class Recorder:
        async def connect_tcp(self, host: str, *_rest: object) -> object:
            tried.append(host)
            raise httpcore.ConnectError("away")

    def both(*_names: object, **_more: object) -> list[tuple[object, ...]]:
        return [(2, 1, 6, "", (address, 443)) for address in addresses]

    monkeypatch.setattr(network, "_inner", Recorder())
    monkeypatch.setattr("services.notification.adapters.senders.names.getaddrinfo", both)
    addresses = ["8.8.8.8", "127.0.0.1"]
    with pytest.raises(httpcore.ConnectError, match="not public"):
        await network.connect_tcp("push.test", 443)
    assert not tried
    addresses = ["8.8.8.8", "8.8.4.4", "8.8.8.8"]
    with pytest.raises(httpcore.ConnectError, match="away"):
        await network.connect_tcp("push.test", 443)
    assert tried == ["8.8.8.8", "8.8.4.4"]
