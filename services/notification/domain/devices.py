"""What may be registered as a device: tokens and keys in the form of their push service."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.notification.domain.messages import PushKind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from services.notification.domain.messages import PushDevice

POINT_BYTES = 65
AUTH_BYTES = 16
_FCM = re.compile(r"[A-Za-z0-9_:.-]{16,2048}")
_APNS = re.compile(r"(?:[0-9a-f]{2}){16,100}")
_UNCOMPRESSED = 4
_PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
"""Of P-256: y^2 = x^3 - 3x + b (SEC 2, 2.4.2)."""


@dataclass(frozen=True, slots=True)
class FieldFault:
    """What is wrong with a field: its path as the caller wrote it, and why."""

    field: str
    reason: str


class DeviceRefusedError(Exception):
    """It is no device that could be told anything. Nothing has changed."""

    def __init__(self, *faults: FieldFault) -> None:
        super().__init__("; ".join(f"{each.field}: {each.reason}" for each in faults))
        self.faults = faults


class TooManyDevicesError(Exception):
    """The person has as many devices as one may have."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.most = most


@dataclass(frozen=True, slots=True)
class NewDevice:
    """A device as an app registers it; keys are base64url text, empty where there are none."""

    device_id: str
    kind: PushKind
    token: str
    p256dh: str = ""
    auth: str = ""
    app: str = ""


@dataclass(frozen=True, slots=True)
class RegisteredDevice:
    """A device of a person's, under the app's own name for it."""

    device_id: str
    push: PushDevice
    registered_at: datetime
    confirmed_at: datetime


@dataclass(frozen=True, slots=True)
class DeviceRules:
    """Which kinds have a sender, how many devices a person may have, and what is wrong with an endpoint of Web Push:
    empty when nothing is.
    """

    kinds: Collection[PushKind]
    most: int
    endpoint_fault: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class CheckedDevice:
    """A device that can be told something."""

    device_id: str
    kind: PushKind
    token: str
    p256dh: bytes
    auth: bytes
    app: str


def check(new: NewDevice, rules: DeviceRules) -> CheckedDevice:
    """Return it with its keys decoded. Raises DeviceRefusedError, which names every field that is wrong."""
    faults: list[FieldFault] = []
    if new.kind not in rules.kinds:
        faults.append(FieldFault("kind", "is not set up here"))
    token, p256dh, auth = new.token, b"", b""
    if new.kind is PushKind.WEB_PUSH:
        if fault := rules.endpoint_fault(token):
            faults.append(FieldFault("token", fault))
        p256dh, auth = _decoded(new.p256dh), _decoded(new.auth)
        if not _is_on_curve(p256dh):
            faults.append(FieldFault("keys.p256dh", "is no uncompressed point of P-256"))
        if len(auth) != AUTH_BYTES:
            faults.append(FieldFault("keys.auth", f"is not {AUTH_BYTES} bytes in base64url"))
    else:
        if new.kind is PushKind.APNS:
            token = token.lower()
        if not (_APNS if new.kind is PushKind.APNS else _FCM).fullmatch(token):
            faults.append(FieldFault("token", f"is no token of {new.kind}"))
        if new.p256dh or new.auth:
            faults.append(FieldFault("keys", "only WEB_PUSH has keys"))
    if faults:
        raise DeviceRefusedError(*faults)
    return CheckedDevice(new.device_id, new.kind, token, p256dh, auth, new.app)


def _decoded(text: str) -> bytes:
    """Return the bytes of base64url text; none where it is none."""
    try:
        return base64.b64decode(
            text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True
        )
    except (binascii.Error, ValueError):
        return b""


def _is_on_curve(point: bytes) -> bool:
    """Return whether these are an uncompressed point of P-256: another would give the key of the browser's messages
    away (an invalid curve attack), or could not be sealed to.
    """
    if len(point) != POINT_BYTES or point[0] != _UNCOMPRESSED:
        return False
    x, y = int.from_bytes(point[1:33]), int.from_bytes(point[33:])
    return x < _PRIME and y < _PRIME and (y * y - (x * x * x - 3 * x + _B)) % _PRIME == 0
