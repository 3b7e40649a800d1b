"""The bytes of docs/vehicle-protocol.md: the signed envelope, the seal, reports, and which keys are accepted."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from ecarus.remotecontrol.vehicle.v1 import session_pb2
from google.protobuf.message import DecodeError

MOST_BYTES = 16_384
TO_VEHICLE, TO_CLOUD = 1, 2
HPKE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
SIGN, SEAL, REPORT = session_pb2.KEY_USE_SIGN, session_pb2.KEY_USE_SEAL, session_pb2.KEY_USE_REPORT


class RefusedError(Exception):
    """The name of a fault."""


def key_id(public: bytes) -> bytes:
    return hashlib.sha256(public).digest()[:8]


def raw(key: Ed25519PrivateKey | X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def string(value: bytes, major: int = 0x40) -> bytes:
    """A byte string; with 0x60 a text string. Always the shortest head."""
    if len(value) < 24:
        return bytes([major + len(value)]) + value
    if len(value) < 256:
        return bytes([major + 0x18, len(value)]) + value
    return bytes([major + 0x19]) + len(value).to_bytes(2, "big") + value


def read_string(data: bytes, at: int) -> tuple[bytes, int]:
    """The string whose head is at `at`, and where it ends."""
    low = data[at] & 0x1F
    width = {0x18: 1, 0x19: 2}.get(low, 0)
    start = at + 1 + width
    length = int.from_bytes(data[at + 1 : start], "big") if width else low
    if low > 0x19 or start + length > len(data):
        raise RefusedError("MALFORMED")
    return data[start : start + length], start + length


def parsed(kind: Any, payload: bytes) -> Any:
    try:
        return kind.FromString(payload)
    except DecodeError as error:
        raise RefusedError("MALFORMED") from error


@dataclass(frozen=True)
class Envelope:
    content_type: str
    kid: bytes
    payload: bytes
    signature: bytes = b""

    @property
    def _protected(self) -> bytes:
        content_type = string(self.content_type.encode("ascii"), 0x60)
        return b"\xa3\x01\x27\x03" + content_type + b"\x04" + string(self.kid)

    def _to_sign(self, external: bytes) -> bytes:
        return b"\x84\x6aSignature1" + string(self._protected) + string(external) + string(self.payload)

    def encoded(self) -> bytes:
        return b"\xd2\x84" + string(self._protected) + b"\xa0" + string(self.payload) + string(self.signature)

    @classmethod
    def signed(cls, by: Ed25519PrivateKey, content_type: str, external: bytes, payload: bytes) -> bytes:
        unsigned = cls(content_type, key_id(raw(by)), payload)
        return cls(content_type, unsigned.kid, payload, by.sign(unsigned._to_sign(external))).encoded()

    @classmethod
    def read(cls, data: bytes) -> Envelope:
        """What would not come out byte for byte when encoded again is refused."""
        try:
            protected, at = read_string(data, 2)
            payload, at = read_string(data, at + 1)
            signature, _ = read_string(data, at)
            content_type, at = read_string(protected, 4)
            found = cls(content_type.decode("ascii"), protected[at + 2 :], payload, signature)
        except (IndexError, UnicodeDecodeError) as error:
            raise RefusedError("MALFORMED") from error
        if (len(found.kid), len(signature)) != (8, 64) or found.encoded() != data:
            raise RefusedError("MALFORMED")
        return found

    def verify(self, public: bytes, external: bytes) -> None:
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(self.signature, self._to_sign(external))
        except InvalidSignature as error:
            raise RefusedError("BAD_SIGNATURE") from error


def _info(direction: int, vin: str, receiver: bytes) -> bytes:
    return b"rdc-seal\x01" + bytes([direction]) + vin.encode() + receiver


def seal(envelope: bytes, receiver: bytes, vin: str) -> bytes:
    """To the cloud."""
    info = _info(TO_CLOUD, vin, key_id(receiver))
    return (
        b"\x01\x01"
        + key_id(receiver)
        + HPKE.encrypt(envelope, X25519PublicKey.from_public_bytes(receiver), info)
    )


def unseal(data: bytes, key: X25519PrivateKey, vin: str) -> bytes:
    """To the vehicle."""
    if len(data) > MOST_BYTES:
        raise RefusedError("TOO_LARGE")
    if len(data) < 58 or data[:2] != b"\x01\x01":
        raise RefusedError("MALFORMED")
    receiver = data[2:10]
    if receiver != key_id(raw(key)):
        raise RefusedError("NOT_FOR_US")
    try:
        return bytes(HPKE.decrypt(data[10:], key, _info(TO_VEHICLE, vin, receiver)))
    except InvalidTag as error:
        raise RefusedError("NOT_FOR_US") from error


class ReportSealer:
    """Reports of one epoch."""

    def __init__(self, vin: str, epoch: bytes, own: X25519PrivateKey, cloud: bytes) -> None:
        self._vin, self._epoch = vin, epoch
        self._shared = own.exchange(X25519PublicKey.from_public_bytes(cloud))
        self._counters: dict[str, int] = {}

    def seal(self, domain: str, report: bytes) -> bytes:
        counter = self._counters[domain] = self._counters.get(domain, 0) + 1
        subject = f"vehicle.{self._vin}.{domain}".encode()
        info = b"rdc-report\x01" + subject
        key = HKDF(algorithm=SHA256(), length=32, salt=self._epoch, info=info).derive(self._shared)
        head = b"\x01\x02" + self._epoch + counter.to_bytes(8, "big")
        return head + AESGCM(key).encrypt(bytes(4) + head[18:], report, head + subject)


def _possible(key: Any) -> bool:
    """32 bytes, and no X25519 key of small order; nothing is asked of a use that is unknown."""
    if key.use not in {SIGN, SEAL, REPORT}:
        return True
    if len(key.public_key) != 32:
        return False
    try:
        if key.use != SIGN:
            X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(key.public_key))
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Trust:
    """The manifest in use: as it came, and the root that endorsed it."""

    endorsed: bytes
    endorsed_by: bytes
    manifest: Any

    @classmethod
    def read(cls, root: bytes, endorsed: bytes) -> Trust:
        """Whether or not its time is up."""
        outer = Envelope.read(endorsed)
        if outer.kid != key_id(root):
            raise RefusedError("UNKNOWN_KEY")
        outer.verify(root, b"cloud.keys")
        if outer.content_type != "rdc-endorsement+v1":
            raise RefusedError("WRONG_TYPE")
        inner = Envelope.read(outer.payload)
        manifest = parsed(session_pb2.KeyManifest, inner.payload)
        if (
            manifest.version < 1
            or len(manifest.root_public_key) != 32
            or not all(map(_possible, manifest.keys))
        ):
            raise RefusedError("MALFORMED")
        if inner.kid != key_id(manifest.root_public_key):
            raise RefusedError("UNKNOWN_KEY")
        inner.verify(manifest.root_public_key, b"cloud.keys")
        if inner.content_type != "rdc-manifest+v1":
            raise RefusedError("WRONG_TYPE")
        return cls(endorsed, root, manifest)

    def adopt(self, endorsed: bytes, wall: int) -> Trust:
        if endorsed == self.endorsed:
            return self
        new = Trust.read(self.manifest.root_public_key, endorsed)
        if new.manifest.version <= self.manifest.version:
            raise RefusedError("MANIFEST_ROLLBACK")
        if new.manifest.expires_at_seconds <= max(self._now(wall), new.manifest.issued_at_seconds):
            raise RefusedError("EXPIRED_KEY")
        return new

    def signer(self, kid: bytes, wall: int) -> bytes:
        """The key that an order may be signed with."""
        for key in self.manifest.keys:
            if key.use == SIGN and key_id(key.public_key) == kid:
                if key.revoked:
                    raise RefusedError("REVOKED_KEY")
                if self._is_over(key, wall):
                    raise RefusedError("EXPIRED_KEY")
                return bytes(key.public_key)
        raise RefusedError("UNKNOWN_KEY")

    def first(self, use: int, wall: int) -> bytes:
        """To seal to, or to agree reports with: the first in its time; if all are over, the first not revoked."""
        left = [key for key in self.manifest.keys if key.use == use and not key.revoked]
        if not left:
            raise RefusedError("UNKNOWN_KEY")
        return bytes(next((key for key in left if not self._is_over(key, wall)), left[0]).public_key)

    def has(self, use: int, public: bytes) -> bool:
        """Whether it names this key, and does not revoke it."""
        return any(
            key.use == use and key.public_key == public and not key.revoked for key in self.manifest.keys
        )

    def _is_over(self, key: Any, wall: int) -> bool:
        return bool(min(key.expires_at_seconds, self.manifest.expires_at_seconds) <= self._now(wall))

    def _now(self, wall: int) -> int:
        return int(max(wall, self.manifest.issued_at_seconds))
