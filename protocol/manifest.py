"""Which keys of the cloud a vehicle accepts: a manifest that the offline root signs.

A manifest is signed by the root that it names itself, and around that by the root of the manifest it
follows. So a root is replaced by a manifest that both the old and the new root signed, and a stolen
old manifest cannot bring back keys that a newer one dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from ecarus.remotecontrol.vehicle.v1 import session_pb2
from google.protobuf.message import DecodeError

from protocol import cose
from protocol.domains import ContentType
from protocol.faults import Fault, MessageRefusedError
from protocol.keys import KEY_BYTES, SealKey, key_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocol.keys import Signer

SUBJECT = b"cloud.keys"
"""What a manifest's signatures are bound to: it is the same for every vehicle."""


def endorse(manifest: session_pb2.KeyManifest, root: Signer, previous_root: Signer) -> bytes:
    """Return the manifest as it travels. `root` is the one it names, `previous_root` that of the manifest before;
    for the first manifest both are the root that vehicles are made with.
    """
    if key_id(manifest.root_public_key) != root.key_id:
        raise ValueError("the manifest names another root")
    inner = cose.sign(root, ContentType.MANIFEST, SUBJECT, manifest.SerializeToString(deterministic=True))
    return cose.sign(previous_root, ContentType.ENDORSED_MANIFEST, SUBJECT, inner)


def peek(endorsed: bytes) -> session_pb2.KeyManifest:
    """Return what an endorsed manifest says, without a look at who signed it: for those who have it from a
    trusted place, such as a file of their own. Vehicles use Trust. Raises MessageRefusedError (MALFORMED).
    """
    return _parse(cose.decode(cose.decode(endorsed).payload).payload)


@dataclass(frozen=True, slots=True)
class ManifestKey:
    """A key of the manifest in use."""

    public_bytes: bytes
    expires_at_seconds: int
    is_revoked: bool


@dataclass(frozen=True, slots=True)
class Trust:
    """What a vehicle accepts: a root, and the newest manifest it endorsed.

    `endorsed` is that manifest as it travelled, `endorsed_by` the root before it: both are stored, and `restore`
    makes the same trust of them at the next boot.
    Version 0 is a vehicle that knows its root and nothing else.
    """

    root_public_key: bytes
    version: int = 0
    issued_at_seconds: int = 0
    expires_at_seconds: int = 0
    endorsed: bytes = b""
    endorsed_by: bytes = b""
    sign_keys: tuple[ManifestKey, ...] = ()
    seal_keys: tuple[ManifestKey, ...] = ()
    report_keys: tuple[ManifestKey, ...] = ()

    def adopt(self, endorsed: bytes, wall_seconds: int) -> Trust:
        """Return the trust with this manifest. The one in use again is no change.

        Raises MessageRefusedError: MALFORMED, WRONG_TYPE, UNKNOWN_KEY, BAD_SIGNATURE, MANIFEST_ROLLBACK, EXPIRED_KEY.
        """
        if endorsed and endorsed == self.endorsed:
            return self
        trust = _following(self.root_public_key, endorsed)
        if trust.version <= self.version:
            raise MessageRefusedError(Fault.MANIFEST_ROLLBACK, "not newer than the manifest in use")
        if trust.expires_at_seconds <= max(self._now(wall_seconds), trust.issued_at_seconds):
            raise MessageRefusedError(Fault.EXPIRED_KEY, "the manifest's time is up")
        return trust

    @staticmethod
    def restore(endorsed_by: bytes, endorsed: bytes) -> Trust:
        """Return what was stored, whether or not its time is up by now. Raises MessageRefusedError when it
        is damaged.
        """
        return _following(endorsed_by, endorsed)

    def verify_key(self, kid: bytes, wall_seconds: int) -> Ed25519PublicKey:
        """Return the key an order may be signed with. Raises MessageRefusedError: UNKNOWN_KEY,
        REVOKED_KEY, EXPIRED_KEY.
        """
        for key in self.sign_keys:
            if key_id(key.public_bytes) == kid:
                self._check_usable(key, wall_seconds)
                return Ed25519PublicKey.from_public_bytes(key.public_bytes)
        raise MessageRefusedError(Fault.UNKNOWN_KEY, f"not in manifest {self.version}")

    def seal_key(self, wall_seconds: int) -> SealKey:
        """Return the key to seal to. Raises MessageRefusedError (UNKNOWN_KEY) when the manifest has none that is not
        revoked.
        """
        return self._to_encrypt_to(self.seal_keys, wall_seconds)

    def report_key(self, wall_seconds: int) -> SealKey:
        """Return the key to agree the keys of reports with. Raises MessageRefusedError (UNKNOWN_KEY) as
        `seal_key` does.
        """
        return self._to_encrypt_to(self.report_keys, wall_seconds)

    def _to_encrypt_to(self, keys: tuple[ManifestKey, ...], wall_seconds: int) -> SealKey:
        """Return the first that is in its time; failing that, the first not revoked. What goes to an expired key moves
        no door, and a vehicle whose manifest ran out has no other way to say that it needs a new one.
        """
        unrevoked = [key for key in keys if not key.is_revoked]
        if not unrevoked:
            raise MessageRefusedError(Fault.UNKNOWN_KEY, f"manifest {self.version} has no such key")
        in_time = (key for key in unrevoked if not self._is_expired(key, wall_seconds))
        return SealKey.of(next(in_time, unrevoked[0]).public_bytes)

    def _check_usable(self, key: ManifestKey, wall_seconds: int) -> None:
        if key.is_revoked:
            raise MessageRefusedError(Fault.REVOKED_KEY, f"revoked by manifest {self.version}")
        if self._is_expired(key, wall_seconds):
            raise MessageRefusedError(Fault.EXPIRED_KEY, f"its time in manifest {self.version} is up")

    def _is_expired(self, key: ManifestKey, wall_seconds: int) -> bool:
        return min(key.expires_at_seconds, self.expires_at_seconds) <= self._now(wall_seconds)

    def _now(self, wall_seconds: int) -> int:
        """Return a clock that was set back cannot be before what the root said it was."""
        return max(wall_seconds, self.issued_at_seconds)


def _following(root_public_key: bytes, endorsed: bytes) -> Trust:
    """Return the trust in this manifest, if this root endorsed it."""
    inner = _verified(endorsed, ContentType.ENDORSED_MANIFEST, root_public_key)
    signed = cose.decode(inner)
    manifest = _parse(signed.payload)
    _check(signed, ContentType.MANIFEST, manifest.root_public_key)
    return Trust(
        root_public_key=manifest.root_public_key,
        version=manifest.version,
        issued_at_seconds=manifest.issued_at_seconds,
        expires_at_seconds=manifest.expires_at_seconds,
        endorsed=endorsed,
        endorsed_by=root_public_key,
        sign_keys=_keys(manifest, session_pb2.KEY_USE_SIGN),
        seal_keys=_keys(manifest, session_pb2.KEY_USE_SEAL),
        report_keys=_keys(manifest, session_pb2.KEY_USE_REPORT),
    )


def _verified(data: bytes, content_type: ContentType, public_bytes: bytes) -> bytes:
    signed = cose.decode(data)
    _check(signed, content_type, public_bytes)
    return signed.payload


def _check(signed: cose.SignedEnvelope, content_type: ContentType, public_bytes: bytes) -> None:
    if signed.key_id != key_id(public_bytes):
        raise MessageRefusedError(Fault.UNKNOWN_KEY, "not signed by the root")
    cose.verify(signed, Ed25519PublicKey.from_public_bytes(public_bytes), SUBJECT)
    if signed.content_type != content_type:
        raise MessageRefusedError(Fault.WRONG_TYPE, "not a manifest")


def _parse(payload: bytes) -> session_pb2.KeyManifest:
    """Well-formed to the last key: a key that cannot be used must not be found out when it is needed."""
    try:
        manifest = session_pb2.KeyManifest.FromString(payload)
    except DecodeError as error:
        raise MessageRefusedError(Fault.MALFORMED, "not a manifest") from error
    if manifest.version < 1 or len(manifest.root_public_key) != KEY_BYTES:
        raise MessageRefusedError(Fault.MALFORMED, "a manifest without version or root")
    loaders: dict[int, Callable[[bytes], object]] = {
        session_pb2.KEY_USE_SIGN: Ed25519PublicKey.from_public_bytes,
        session_pb2.KEY_USE_SEAL: SealKey.checked,
        session_pb2.KEY_USE_REPORT: SealKey.checked,
    }
    for key in manifest.keys:
        load = loaders.get(key.use)  # a use that a later version adds is not for us
        try:
            if load:
                load(key.public_key)
        except ValueError as error:
            raise MessageRefusedError(Fault.MALFORMED, "a manifest with an impossible key") from error
    return manifest


def _keys(manifest: session_pb2.KeyManifest, use: session_pb2.KeyUse.ValueType) -> tuple[ManifestKey, ...]:
    return tuple(
        ManifestKey(key.public_key, key.expires_at_seconds, key.revoked)
        for key in manifest.keys
        if key.use == use
    )
