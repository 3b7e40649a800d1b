"""A second reader of the protocol, written from docs/vehicle-protocol.md. It imports nothing of `protocol`.

It decodes CBOR by matching the one template the page gives, opens HPKE by its own `hpke`, and uses
`cryptography` only for the bare primitives. Every function gives ACCEPTED (or KNOWN) or the fault's name.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from ecarus.remotecontrol.vehicle.v1 import session_pb2
from google.protobuf.message import DecodeError

from tests.protocol.independent import hpke

if TYPE_CHECKING:
    from collections.abc import Mapping

LAST_COUNTER = 2**48 - 1
MOST_AHEAD = 2**20
ORDERS = {
    "cmd.door": ("rdc-command+v1", "door", 30_000, {1, 2, 3}),
    "cmd.cancel": ("rdc-tombstone+v1", "cancel", 60_000, {1, 2, 3}),
    "cmd.config": ("rdc-config+v1", "config", 60_000, {1}),
}
ANSWERS = {
    "evt.received": ("rdc-received+v1", "received", "cmd.door"),
    "evt.result": ("rdc-result+v1", "result", "cmd.door"),
    "evt.cancel": ("rdc-cancelled+v1", "cancel", "cmd.cancel"),
    "evt.config": ("rdc-configured+v1", "config", "cmd.config"),
}
PROTECTED = re.compile(rb"\xa3\x01\x27\x03(?P<head>[\x60-\x77]|\x78[\x18-\xff])(?P<rest>.*)", re.DOTALL)


class RefusedError(Exception):
    """The fault's name."""


def key_id(public: bytes) -> bytes:
    return hashlib.sha256(public).digest()[:8]


def byte_string(value: bytes) -> bytes:
    if len(value) < 24:
        return bytes([0x40 + len(value)]) + value
    if len(value) < 256:
        return bytes([0x58, len(value)]) + value
    return b"\x59" + len(value).to_bytes(2, "big") + value


def unseal(data: bytes, key: X25519PrivateKey, direction: int, vin: str) -> bytes:
    if len(data) > 16384:
        raise RefusedError("TOO_LARGE")
    if len(data) < 58 or data[:2] != b"\x01\x01":
        raise RefusedError("MALFORMED")
    if data[2:10] != key_id(key.public_key().public_bytes_raw()):
        raise RefusedError("NOT_FOR_US")
    info = b"rdc-seal\x01" + bytes([direction]) + vin.encode() + data[2:10]
    try:
        return hpke.unseal(data[10:], key, info)
    except (InvalidTag, ValueError) as error:
        raise RefusedError("NOT_FOR_US") from error


@dataclass
class Envelope:
    raw: bytes

    def __post_init__(self) -> None:
        """Reads by the template: only what comes out again byte for byte went in."""
        if self.raw[:2] != b"\xd2\x84" or len(self.raw) < 80:
            raise RefusedError("MALFORMED")
        self.protected, after = self._string(2)
        if self.raw[after : after + 1] != b"\xa0":
            raise RefusedError("MALFORMED")
        self.payload, after = self._string(after + 1)
        self.signature, after = self._string(after)
        match = PROTECTED.fullmatch(self.protected)
        if after != len(self.raw) or len(self.signature) != 64 or match is None:
            raise RefusedError("MALFORMED")
        head, rest = match["head"], match["rest"]
        length = head[0] - 0x60 if len(head) == 1 else head[1]
        if len(rest) != length + 10 or rest[length : length + 2] != b"\x04\x48":
            raise RefusedError("MALFORMED")
        self.content_type, self.kid = rest[:length].decode("latin-1"), rest[length + 2 :]

    def _string(self, at: int) -> tuple[bytes, int]:
        head = self.raw[at : at + 1]
        if b"\x40" <= head <= b"\x57":
            start, length = at + 1, head[0] - 0x40
        elif head == b"\x58":
            start, length = at + 2, int.from_bytes(self.raw[at + 1 : at + 2], "big")
        elif head == b"\x59":
            start, length = at + 3, int.from_bytes(self.raw[at + 1 : at + 3], "big")
        else:
            raise RefusedError("MALFORMED")
        value = self.raw[start : start + length]
        if self.raw[at : start + length] != byte_string(value):
            raise RefusedError("MALFORMED")
        return value, start + length

    def verify(self, public: bytes, external: bytes) -> None:
        signed = (
            b"\x84\x6aSignature1"
            + byte_string(self.protected)
            + byte_string(external)
            + byte_string(self.payload)
        )
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(self.signature, signed)
        except InvalidSignature as error:
            raise RefusedError("BAD_SIGNATURE") from error


def parsed(kind: Any, payload: bytes) -> Any:
    try:
        return kind.FromString(payload)
    except DecodeError as error:
        raise RefusedError("MALFORMED") from error


def possible(key: Any) -> bool:
    """32 bytes, and no X25519 key of small order; nothing is asked of uses that are unknown."""
    if key.use not in {1, 2, 3}:
        return True
    if len(key.public_key) != 32:
        return False
    if key.use == session_pb2.KEY_USE_SIGN:
        return True
    try:
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(key.public_key))
    except ValueError:
        return False
    return True


def manifest_after(
    root: bytes, version: int, current: bytes, endorsed: bytes, wall: int, since: int = 0
) -> Any:
    """The KeyManifest in `endorsed`, for a vehicle that has `version` from `current`, which was issued at `since`."""
    if endorsed == current:
        return None
    outer = Envelope(endorsed)
    if outer.kid != key_id(root):
        raise RefusedError("UNKNOWN_KEY")
    outer.verify(root, b"cloud.keys")
    if outer.content_type != "rdc-endorsement+v1":
        raise RefusedError("WRONG_TYPE")
    inner = Envelope(outer.payload)
    manifest = parsed(session_pb2.KeyManifest, inner.payload)
    if manifest.version < 1 or len(manifest.root_public_key) != 32 or not all(map(possible, manifest.keys)):
        raise RefusedError("MALFORMED")
    if inner.kid != key_id(manifest.root_public_key):
        raise RefusedError("UNKNOWN_KEY")
    inner.verify(manifest.root_public_key, b"cloud.keys")
    if inner.content_type != "rdc-manifest+v1":
        raise RefusedError("WRONG_TYPE")
    if manifest.version <= version:
        raise RefusedError("MANIFEST_ROLLBACK")
    if manifest.expires_at_seconds <= max(wall, since, manifest.issued_at_seconds):
        raise RefusedError("EXPIRED_KEY")
    return manifest


@dataclass
class Vehicle:
    vin: str
    key: X25519PrivateKey
    root: bytes
    context: Mapping[str, Any]

    def take(self, domain: str, data: bytes) -> str:
        """ACCEPTED, KNOWN or a fault."""
        try:
            return self._taken(domain, data)
        except RefusedError as refused:
            return str(refused)

    def _taken(self, domain: str, data: bytes) -> str:
        context = self.context
        content_type, member, longest, roles = ORDERS[domain]
        envelope = Envelope(unseal(data, self.key, 1, self.vin))
        envelope.verify(self._signing_key(envelope.kid), f"vehicle.{self.vin}.{domain}".encode())
        if envelope.content_type != content_type:
            known_types = {types[0] for types in ORDERS.values()}
            raise RefusedError("WRONG_DOMAIN" if envelope.content_type in known_types else "WRONG_TYPE")
        order = parsed(session_pb2.SignedOrder, envelope.payload)
        if order.WhichOneof("order") != member:
            raise RefusedError("WRONG_TYPE")
        body = getattr(order, member)
        order_id = {"door": "command_id", "cancel": "cancel_id", "config": "version"}[member]
        own_id = str(getattr(body, order_id))
        ids = [own_id, body.command_id] if member == "cancel" else [own_id]
        if not all(1 <= len(one) <= 128 for one in ids):
            raise RefusedError("MALFORMED")
        if order.vin != self.vin:
            raise RefusedError("WRONG_VEHICLE")
        if [domain, own_id] in context["known"]:
            return "KNOWN"
        left = order.expires_at_millis - context["clockMillis"]
        for wrong, fault in (
            (order.epoch.hex() != context["epoch"], "WRONG_EPOCH"),
            (left <= 0, "EXPIRED"),
            (left > longest, "VALID_TOO_LONG"),
            (order.counter > LAST_COUNTER, "COUNTER_TOO_LARGE"),
            (order.counter <= context["acceptedCounters"].get(domain, 0), "COUNTER_NOT_NEW"),
            (order.role not in roles, "ROLE_NOT_ALLOWED"),
        ):
            if wrong:
                raise RefusedError(fault)
        return "ACCEPTED"

    def challenge(self, data: bytes) -> bytes:
        """The challenge of a session request. Raises RefusedError."""
        envelope = Envelope(unseal(data, self.key, 1, self.vin))
        envelope.verify(self._signing_key(envelope.kid), f"vehicle.{self.vin}.cmd.session".encode())
        if envelope.content_type != "rdc-challenge+v1":
            raise RefusedError("WRONG_TYPE")
        request = parsed(session_pb2.SessionRequest, envelope.payload)
        if request.vin != self.vin:
            raise RefusedError("WRONG_VEHICLE")
        if len(request.challenge) != 16:
            raise RefusedError("MALFORMED")
        return bytes(request.challenge)

    def delivered(self, data: bytes) -> str:
        """What came on `cmd.keys`: ACCEPTED or a fault."""
        current, wall = bytes.fromhex(self.context["manifest"]), self.context["wallSeconds"]
        in_use = manifest_after(self.root, 0, b"", current, wall)
        try:
            endorsed = unseal(data, self.key, 1, self.vin)
            manifest_after(self.root, in_use.version, current, endorsed, wall, in_use.issued_at_seconds)
        except RefusedError as refused:
            return str(refused)
        return "ACCEPTED"

    def _signing_key(self, kid: bytes) -> bytes:
        endorsed = bytes.fromhex(self.context["manifest"])
        manifest = manifest_after(self.root, 0, b"", endorsed, 0)  # adopted when it was made
        wall = max(self.context["wallSeconds"], manifest.issued_at_seconds)
        for key in manifest.keys:
            if key.use == session_pb2.KEY_USE_SIGN and key_id(key.public_key) == kid:
                if key.revoked:
                    raise RefusedError("REVOKED_KEY")
                if min(key.expires_at_seconds, manifest.expires_at_seconds) <= wall:
                    raise RefusedError("EXPIRED_KEY")
                return bytes(key.public_key)
        raise RefusedError("UNKNOWN_KEY")


@dataclass
class Cloud:
    vin: str
    key: X25519PrivateKey
    vehicle_public: bytes
    context: Mapping[str, Any] = field(default_factory=dict)

    def answer(self, domain: str, data: bytes) -> str:
        """ACCEPTED or a fault."""
        try:
            return self._answered(domain, self._envelope(domain, data))
        except RefusedError as refused:
            return str(refused)

    def hello(self, data: bytes) -> str:
        """ACCEPTED or a fault."""
        try:
            return self._greeted(self._envelope("evt.hello", data))
        except RefusedError as refused:
            return str(refused)

    def _greeted(self, envelope: Envelope) -> str:
        if envelope.content_type != "rdc-session+v1":
            raise RefusedError("WRONG_TYPE")
        info = parsed(session_pb2.SessionInfo, envelope.payload)
        if info.vin != self.vin:
            raise RefusedError("WRONG_VEHICLE")
        if (len(info.epoch), len(info.report_public_key), len(info.report_key_id)) != (16, 32, 8):
            raise RefusedError("MALFORMED")
        if not 1 <= len(info.message_id) <= 128 or not info.HasField("hello"):
            raise RefusedError("MALFORMED")
        if info.challenge:
            fresh = info.challenge.hex() == self.context["challenge"]
        else:
            fresh = info.epoch.hex() not in self.context["endedEpochs"]
        if not fresh:
            raise RefusedError("STALE_SESSION")
        if any(one.counter > MOST_AHEAD for one in info.counters):  # the cloud issued none in this epoch
            raise RefusedError("COUNTER_TOO_LARGE")
        return "ACCEPTED"

    def _envelope(self, domain: str, data: bytes) -> Envelope:
        envelope = Envelope(unseal(data, self.key, 2, self.vin))
        if envelope.kid != key_id(self.vehicle_public):
            raise RefusedError("UNKNOWN_KEY")
        envelope.verify(self.vehicle_public, f"vehicle.{self.vin}.{domain}".encode())
        return envelope

    def _answered(self, domain: str, envelope: Envelope) -> str:
        content_type, member, asked_in = ANSWERS[domain]
        if envelope.content_type == "rdc-fault+v1":
            content_type, member = "rdc-fault+v1", "refused"
        message = parsed(session_pb2.SignedAnswer, envelope.payload)
        if envelope.content_type != content_type or message.WhichOneof("answer") != member:
            raise RefusedError("WRONG_TYPE")
        if message.vin != self.vin:
            raise RefusedError("WRONG_VEHICLE")
        if not 1 <= len(message.message_id) <= 128:
            raise RefusedError("MALFORMED")
        issued = {one["requestHash"]: one for one in self.context["issued"]}.get(message.request_hash.hex())
        if issued is None or not self._fits(issued, asked_in, getattr(message, member)):
            raise RefusedError("WRONG_REQUEST")
        if message.epoch.hex() != self.context["epoch"]:
            raise RefusedError("WRONG_EPOCH")
        if message.counter > LAST_COUNTER:
            raise RefusedError("COUNTER_TOO_LARGE")
        if message.counter in {0, *self.context["seen"].get(domain, [])}:
            raise RefusedError("COUNTER_NOT_NEW")
        return "ACCEPTED"

    @staticmethod
    def _fits(issued: Mapping[str, str], asked_in: str, answer: Any) -> bool:
        cancelled = 5
        cancelled = issued["domain"] == "cmd.cancel" and getattr(answer, "outcome", None) == cancelled
        if issued["domain"] != asked_in and not (asked_in == "cmd.door" and cancelled):
            return False
        if getattr(answer, "cancel_id", issued["orderId"]) != issued["orderId"]:
            return False
        return bool(getattr(answer, "command_id", issued["commandId"]) == issued["commandId"])


def report(
    vin: str, domain: str, shared: bytes, context: Mapping[str, Any], data: bytes
) -> tuple[str, bytes]:
    """ACCEPTED or a fault, and the report."""
    if len(data) > 65_536 or len(data) < 42 or data[:2] != b"\x01\x02":
        return "TOO_LARGE" if len(data) > 65_536 else "MALFORMED", b""
    if data[2:18].hex() != context["epoch"]:
        return "WRONG_EPOCH", b""
    counter = int.from_bytes(data[18:26], "big")
    if counter > LAST_COUNTER:
        return "COUNTER_TOO_LARGE", b""
    if counter in context["seen"].get(domain, []):
        return "COUNTER_NOT_NEW", b""
    subject = f"vehicle.{vin}.{domain}".encode()
    info = b"rdc-report\x01" + subject
    key = HKDF(algorithm=SHA256(), length=32, salt=data[2:18], info=info).derive(shared)
    try:
        return "ACCEPTED", AESGCM(key).decrypt(bytes(4) + data[18:26], data[26:], data[:26] + subject)
    except InvalidTag:
        return "NOT_FOR_US", b""
