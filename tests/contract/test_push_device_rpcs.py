"""PushDeviceService over real gRPC: devices and preferences, and everything that is no token, key, zone or time."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from ecarus.remotecontrol.door.v1 import push_device_pb2
from ecarus.remotecontrol.door.v1 import push_device_service_pb2 as rpc
from ecarus.remotecontrol.door.v1.push_device_service_pb2_grpc import (
    PushDeviceServiceStub,
    add_PushDeviceServiceServicer_to_server,
)
from google.protobuf.json_format import MessageToDict, ParseDict

from services.notification.adapters import server, translate
from services.notification.domain.devices import DeviceRules
from services.notification.domain.messages import PushKind
from tests.contract.conftest import ServedRoom
from tests.support.notification_harness import NotificationHarness, notification_harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

READ, WRITE = "person.notifications.read", "person.notifications.write"
FCM = {"kind": "FCM", "token": "eYh3-token:APA91b_of.a-phone"}
APNS = {"kind": "APNS", "token": "AB" * 32, "app": "com.ecarus.app"}
ENDPOINT = "https://push.example.com/send/abc"


def text_of(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


POINT = (
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
)
WEB = {"kind": "WEB_PUSH", "token": ENDPOINT, "keys": {"p256dh": text_of(POINT), "auth": text_of(b"a" * 16)}}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[NotificationHarness]:
    async with notification_harness(f"sqlite:///{tmp_path}/notification.sqlite3") as harness:
        yield harness


@pytest.fixture
def served() -> ServedRoom:
    return ServedRoom("notification", [server.SERVICE], server.POLICY, translate.refusal_of)


@pytest.fixture
def kinds() -> frozenset[PushKind]:
    """Which push services are set up; a test without one overrides this."""
    return frozenset(PushKind)


@pytest.fixture
def grpc_servicer(house: NotificationHarness, kinds: frozenset[PushKind]) -> server.PushDeviceServicer:
    def fault(url: str) -> str:
        return "" if url == ENDPOINT else "is at no push service that is known here"

    return server.PushDeviceServicer(house.devices, DeviceRules(kinds, 3, fault), 10, house.clock.now)


@pytest.fixture
def grpc_add_to_server() -> Any:
    return add_PushDeviceServiceServicer_to_server


@pytest.fixture
def grpc_stub_cls() -> type[PushDeviceServiceStub]:
    return PushDeviceServiceStub


class Person:
    """Somebody who is signed in."""

    def __init__(self, stub: PushDeviceServiceStub, signer: Any, name: str = "user-123") -> None:
        self._stub, self._signer, self._name = stub, signer, name

    def _said(self, action: str) -> Any:
        token = self._signer.capability("", action, subject=self._name)
        return (("x-ecarus-capability", token), ("x-envoy-original-path", "/notifications"))

    async def register(self, device_id: str, device: dict[str, Any]) -> dict[str, Any]:
        request = rpc.RegisterPushDeviceRequest(
            device_id=device_id, device=ParseDict(device, push_device_pb2.NewPushDevice())
        )
        return MessageToDict(await self._stub.RegisterPushDevice(request, metadata=self._said(WRITE)))

    async def devices(self) -> list[str]:
        answer = await self._stub.ListPushDevices(rpc.ListPushDevicesRequest(), metadata=self._said(READ))
        return [each.device_id for each in answer.devices]

    async def delete(self, device_id: str) -> list[str]:
        request = rpc.DeletePushDeviceRequest(device_id=device_id)
        answer = await self._stub.DeletePushDevice(request, metadata=self._said(WRITE))
        return [each.device_id for each in answer.devices]

    async def preferences(self) -> dict[str, Any]:
        request = rpc.GetNotificationPreferencesRequest()
        return MessageToDict(await self._stub.GetNotificationPreferences(request, metadata=self._said(READ)))

    async def prefer(self, **wanted: Any) -> dict[str, Any]:
        request = rpc.UpdateNotificationPreferencesRequest(
            preferences=ParseDict(wanted, push_device_pb2.NotificationPreferences())
        )
        return MessageToDict(
            await self._stub.UpdateNotificationPreferences(request, metadata=self._said(WRITE))
        )


@pytest.fixture
def person(grpc_stub: Any, signer: Any) -> Person:
    return Person(grpc_stub, signer)


async def test_devices_are_registered_listed_and_deleted(person: Person, grpc_stub: Any, signer: Any) -> None:
    first = await person.register("phone", FCM)
    assert first == {
        "deviceId": "phone",
        "kind": "FCM",
        "registeredAt": "2027-01-15T08:00:00Z",
        "confirmedAt": "2027-01-15T08:00:00Z",
    }
    assert await person.register("phone", FCM) == first
    assert (await person.register("tablet", APNS))["app"] == "com.ecarus.app"
    assert (await person.register("browser", WEB))["kind"] == "WEB_PUSH"
    assert set(await person.devices()) == {"phone", "tablet", "browser"}
    other = Person(grpc_stub, signer, "user-456")
    assert await other.devices() == []
    assert await other.delete("phone") == []
    assert "phone" in await person.devices()
    assert set(await person.delete("phone")) == {"tablet", "browser"}
    assert set(await person.delete("phone")) == {"tablet", "browser"}


async def test_nobody_has_more_than_one_may(person: Person, problem: Any) -> None:
    for number in range(3):
        await person.register(f"phone-{number}", {**FCM, "token": f"a-token-of-phone-{number}"})
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await person.register("phone-3", {**FCM, "token": "a-token-of-phone-3"})
    document = problem(refused.value)
    assert (document["status"], document["code"]) == (409, "TOO_MANY_DEVICES")


async def test_a_phone_whose_owner_changed_is_the_new_ones_and_nobody_is_told(
    person: Person, grpc_stub: Any, signer: Any, house: NotificationHarness
) -> None:
    await person.register("phone", FCM)
    other = Person(grpc_stub, signer, "user-456")
    assert (await other.register("phone", FCM)).keys() == {"deviceId", "kind", "registeredAt", "confirmedAt"}
    assert (await person.devices(), await other.devices()) == ([], ["phone"])
    await house.settle()
    assert house.fcm.shown == []


def changed(device: dict[str, Any], **keys: str) -> dict[str, Any]:
    return {**device, "keys": {**device["keys"], **keys}}


OFF_CURVE = POINT[:-1] + bytes([POINT[-1] ^ 1])
BAD_DEVICES = {
    "no kind": ({"token": "a-token-of-a-phone"}, "device.kind"),
    "no token": ({"kind": "FCM"}, "device.token"),
    "a short token": ({"kind": "FCM", "token": "short"}, "token"),
    "a token with a space": (
        {"kind": "FCM", "token": "a token of a phone, as people say it"},
        "device.token",
    ),
    "a token with a line": ({"kind": "FCM", "token": "a-token-of-a-phone\r\nX: y"}, "device.token"),
    "an endless token": ({"kind": "FCM", "token": "x" * 2_049}, "device.token"),
    "a token that is no hex": ({"kind": "APNS", "token": "xy" * 32}, "token"),
    "half a byte": ({"kind": "APNS", "token": "a" * 65}, "token"),
    "keys of a phone": ({**FCM, "keys": WEB["keys"]}, "keys"),
    "a browser without keys": ({"kind": "WEB_PUSH", "token": ENDPOINT}, "keys.p256dh"),
    "a point off the curve": (changed(WEB, p256dh=text_of(OFF_CURVE)), "keys.p256dh"),
    "a point at infinity": (changed(WEB, p256dh=text_of(b"\x04" + bytes(64))), "keys.p256dh"),
    "a compressed point": (changed(WEB, p256dh=text_of(b"\x02" + bytes(64))), "keys.p256dh"),
    "coordinates past the field": (changed(WEB, p256dh=text_of(b"\x04" + b"\xff" * 64)), "keys.p256dh"),
    "short keys": (changed(WEB, p256dh="AAAA"), "device.keys.p256dh"),
    "a short secret": (changed(WEB, auth=text_of(b"a" * 15)), "device.keys.auth"),
    "keys in standard base64": (changed(WEB, auth="+/+/+/+/+/+/+/+/+/+/+A=="), "device.keys.auth"),
    "an endpoint elsewhere": ({**WEB, "token": "https://169.254.169.254/latest"}, "token"),
    "an app with a line": ({**APNS, "app": "a\nb"}, "device.app"),
}


@pytest.mark.parametrize("case", BAD_DEVICES)
async def test_what_cannot_be_reached_is_refused_by_its_field(
    person: Person, problem: Any, case: str
) -> None:
    device, field = BAD_DEVICES[case]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await person.register("phone", device)
    document = problem(refused.value)
    assert document["code"] == "INVALID_REQUEST"
    fields = {each["field"] for each in document["errors"]}
    assert field.removeprefix("device.") in {each.removeprefix("device.") for each in fields}
    assert await person.devices() == []


class TestWithoutAPushService:
    @pytest.fixture
    def kinds(self) -> frozenset[PushKind]:
        return frozenset({PushKind.APNS})

    async def test_what_is_not_set_up_is_refused(self, person: Person, problem: Any) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await person.register("phone", FCM)
        assert problem(refused.value)["errors"] == [{"field": "kind", "reason": "is not set up here"}]


async def test_preferences_are_what_was_said_and_defaults(
    person: Person, grpc_stub: Any, signer: Any
) -> None:
    defaults = {
        "doorResults": True,
        "leftOpen": True,
        "leftUnlocked": True,
        "diagnostics": True,
        "language": "en",
        "timeZone": "UTC",
        "reminderMinutes": 10,
    }
    assert await person.preferences() == defaults
    wanted = {
        "diagnostics": False,
        "language": "ko",
        "timeZone": "Asia/Seoul",
        "quietHours": {"from": "22:30", "until": "07:00"},
        "reminderMinutes": 5,
        "ignoredPlaces": [
            {"name": "Home", "vehicle": "KMHSH81C7LU123456", "until": "2027-02-01T00:00:00Z"},
            {"name": "회사", "vehicle": "KMHSH81C7LU123457"},
        ],
    }
    assert await person.prefer(**wanted) == {**defaults, **wanted}
    assert await person.preferences() == {**defaults, **wanted}
    assert await Person(grpc_stub, signer, "user-456").preferences() == defaults
    assert await person.prefer(language="ko") == {**defaults, "language": "ko"}


BAD_PREFERENCES = {
    "a language that is not spoken": ({"language": "fr"}, "preferences.language"),
    "a zone that is not": ({"timeZone": "Asia/Atlantis"}, "timeZone"),
    "a zone that is a path": ({"timeZone": "../../etc/passwd"}, "preferences.timeZone"),
    "an hour that is not": (
        {"quietHours": {"from": "24:00", "until": "07:00"}},
        "preferences.quietHours.from",
    ),
    "quiet without end": ({"quietHours": {"from": "07:00", "until": "07:00"}}, "quietHours.until"),
    "no minutes": ({"reminderMinutes": 0}, "preferences.reminderMinutes"),
    "too many minutes": ({"reminderMinutes": 241}, "preferences.reminderMinutes"),
    "a place with a line": (
        {"ignoredPlaces": [{"name": "a\nb", "vehicle": "KMHSH81C7LU123456"}]},
        "ignoredPlaces[0].name",
    ),
    "a vehicle that is none": (
        {"ignoredPlaces": [{"name": "a", "vehicle": "x"}]},
        "ignoredPlaces[0].vehicle",
    ),
    "seventeen places": (
        {"ignoredPlaces": [{"name": "a", "vehicle": "KMHSH81C7LU123456"}] * 17},
        "preferences.ignoredPlaces",
    ),
}


@pytest.mark.parametrize("case", BAD_PREFERENCES)
async def test_what_cannot_be_wanted_is_refused_by_its_field(person: Person, problem: Any, case: str) -> None:
    wanted, field = BAD_PREFERENCES[case]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await person.prefer(**wanted)
    document = problem(refused.value)
    assert document["code"] == "INVALID_REQUEST"
    assert field.removeprefix("preferences.") in {
        each["field"].removeprefix("preferences.") for each in document["errors"]
    }


async def test_it_takes_a_capability_about_the_person(grpc_stub: Any, signer: Any) -> None:
    for vin, action in (("KMHSH81C7LU123456", READ), ("", "door.status.read"), ("", WRITE)):
        refusal = grpc.StatusCode.NOT_FOUND if vin else grpc.StatusCode.PERMISSION_DENIED
        token = signer.capability(vin, action)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await grpc_stub.ListPushDevices(
                rpc.ListPushDevicesRequest(), metadata=(("x-ecarus-capability", token),)
            )
        assert refused.value.code() is refusal
