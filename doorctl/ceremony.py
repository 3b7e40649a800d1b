"""The key ceremony: making the manifest that follows. On files and keys only; it knows no network.

A manifest says which keys of the cloud vehicles accept (docs/vehicle-protocol.md). The next one holds the keys it
is given, in their order, and every key that this or an earlier manifest revokes: what was revoked stays so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from ecarus.remotecontrol.vehicle.v1 import session_pb2
from google.protobuf.message import DecodeError

from protocol import cose
from protocol.faults import MessageRefusedError
from protocol.keys import key_id
from protocol.manifest import SUBJECT, Trust, endorse

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import timedelta
    from pathlib import Path

    from protocol.keys import KeySigner

USES = {
    session_pb2.KEY_USE_SIGN: "sign",
    session_pb2.KEY_USE_SEAL: "seal",
    session_pb2.KEY_USE_REPORT: "report",
}
_FILE = re.compile(r"([1-9][0-9]*)\.manifest")


class CeremonyError(Exception):
    """No manifest was made; the text says why."""


@dataclass(frozen=True, slots=True)
class PublicCloudKeys:
    """The public keys that vehicles are to accept, 32 bytes each. Of `seal` and `report` they use the first."""

    sign: Sequence[bytes]
    seal: Sequence[bytes]
    report: Sequence[bytes]

    def with_uses(self) -> list[tuple[session_pb2.KeyUse.ValueType, bytes]]:
        """Return each with what it is for."""
        kinds = zip(USES, (self.sign, self.seal, self.report), strict=True)
        return [(use, key) for use, keys in kinds for key in keys]


@dataclass(frozen=True, slots=True)
class EndorsedManifest:
    """A manifest as it lies in a file. `endorsed_by` is the id of the root around it."""

    manifest: session_pb2.KeyManifest
    endorsed_by: bytes
    data: bytes


def read_manifest(path: Path) -> EndorsedManifest:
    """Return what the file says, signed by the root that it names. Whether that is the right root is the caller's
    question. Raises CeremonyError.
    """
    try:
        data = path.read_bytes()
        outer = cose.decode(data)
        inner = cose.decode(outer.payload)
        manifest = session_pb2.KeyManifest.FromString(inner.payload)
        cose.verify(inner, Ed25519PublicKey.from_public_bytes(manifest.root_public_key), SUBJECT)
    except OSError as error:
        raise CeremonyError(f"{path}: {error.strerror}") from error
    except (MessageRefusedError, DecodeError, ValueError) as error:
        raise CeremonyError(f"{path} is not an endorsed manifest") from error
    return EndorsedManifest(manifest, outer.key_id, data)


def newest_manifest(folder: Path) -> EndorsedManifest | None:
    """Return the one of the highest version in the folder. Raises CeremonyError when a file is not what its
    name says.
    """
    numbers = [int(found[1]) for path in folder.glob("*.manifest") if (found := _FILE.fullmatch(path.name))]
    if not numbers:
        return None
    path = manifest_file(folder, max(numbers))
    newest = read_manifest(path)
    if newest.manifest.version != max(numbers):
        raise CeremonyError(f"{path} holds version {newest.manifest.version}")
    return newest


def manifest_file(folder: Path, version: int) -> Path:
    """Return where this version lies."""
    return folder / f"{version}.manifest"


def next_manifest(
    newest: EndorsedManifest | None,
    keys: PublicCloudKeys,
    root: KeySigner,
    now: datetime,
    lifetime: timedelta,
    *,
    previous_root: KeySigner | None = None,
    revoke: Collection[bytes] = (),
) -> EndorsedManifest:
    """Return the manifest after `newest`, or the first. `revoke` are ids of keys; `previous_root` signs too where the
    root changes. Raises CeremonyError.
    """
    before = newest.manifest if newest else session_pb2.KeyManifest(root_public_key=root.public_bytes)
    endorser = previous_root or root
    if before.root_public_key != endorser.public_bytes:
        raise CeremonyError(
            "the newest manifest names another root: that one must sign too (--previous-root)"
        )
    issued_at, expires_at = int(now.timestamp()), int((now + lifetime).timestamp())
    if issued_at < before.issued_at_seconds:
        raise CeremonyError("this machine's clock is behind the newest manifest")
    manifest = session_pb2.KeyManifest(
        version=before.version + 1,
        issued_at_seconds=issued_at,
        expires_at_seconds=expires_at,
        root_public_key=root.public_bytes,
    )
    manifest.keys.extend(_keys(before, keys, frozenset(revoke), expires_at))
    data = endorse(manifest, root, endorser)
    try:
        Trust(endorser.public_bytes).adopt(data, issued_at)
    except MessageRefusedError as refused:
        raise CeremonyError(f"no vehicle would take it: {refused}") from refused
    return EndorsedManifest(manifest, endorser.key_id, data)


def _keys(
    before: session_pb2.KeyManifest, keys: PublicCloudKeys, revoke: frozenset[bytes], expires_at: int
) -> list[session_pb2.CloudKey]:
    named = keys.with_uses()
    named_ids = {key_id(key) for _, key in named}
    known = {key_id(key.public_key): key for key in before.keys}
    long_revoked = {of_id for of_id, key in known.items() if key.revoked}
    unknown = revoke - known.keys() - named_ids
    if unknown:
        raise CeremonyError(f"no key has the id {min(unknown).hex()}")
    if len({key for _, key in named}) != len(named):
        raise CeremonyError("a key is named twice; each use has keys of its own")
    for _, key in named:
        if key_id(key) in long_revoked:
            raise CeremonyError(f"key {key_id(key).hex()} was revoked before and cannot come back")
    made = [
        session_pb2.CloudKey(
            use=use, public_key=key, expires_at_seconds=expires_at, revoked=key_id(key) in revoke
        )
        for use, key in named
    ]
    made += [
        session_pb2.CloudKey(
            use=key.use,
            public_key=key.public_key,
            expires_at_seconds=key.expires_at_seconds,
            revoked=True,
        )
        for of_id, key in known.items()
        if of_id in long_revoked | revoke and of_id not in named_ids
    ]
    for use, name in USES.items():
        if not any(key.use == use and not key.revoked for key in made):
            raise CeremonyError(f"no key is left to {name}")
    return made


def described(endorsed: EndorsedManifest) -> list[str]:
    """Return lines for a person."""
    manifest = endorsed.manifest
    root = key_id(manifest.root_public_key)
    by = "itself" if root == endorsed.endorsed_by else endorsed.endorsed_by.hex()
    return [
        f"manifest {manifest.version}",
        f"issued   {_time(manifest.issued_at_seconds)}",
        f"ends     {_time(manifest.expires_at_seconds)}",
        f"root     {root.hex()}, endorsed by {by}",
        *(_line(key) for key in manifest.keys),
    ]


def _line(key: session_pb2.CloudKey) -> str:
    state = "REVOKED" if key.revoked else f"until {_time(key.expires_at_seconds)}"
    use = USES.get(key.use, f"use {key.use}")
    return f"{use:<8} {key_id(key.public_key).hex()} {state}"


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
