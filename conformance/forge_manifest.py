"""Manifests that no vehicle may adopt, each wrong in one thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import session_pb2

from conformance.forge import Impostor, stranger
from protocol import cose
from protocol.domains import ContentType
from protocol.manifest import SUBJECT, endorse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.keys import KitCloudKeys
    from protocol.keys import Signer


def forged_manifests(keys: KitCloudKeys, version: int) -> Iterator[tuple[str, bytes]]:
    """Yield each with what is wrong with it. All say that they are `version`."""
    root, thief = keys.root.signer, stranger()
    good = keys.manifest(version)
    stolen = keys.manifest(version)
    stolen.root_public_key = thief.public_bytes
    yield "of another root", endorse(stolen, thief, thief)
    payload, other = good.SerializeToString(), stolen.SerializeToString()
    yield "that another root endorsed", _wrapped(payload, root, thief)
    yield "whose endorser says that it was the root", _wrapped(payload, root, Impostor(thief, root.key_id))
    yield "that the root it names did not sign", _wrapped(other, root, root)
    yield "whose signer says that it was the root", _wrapped(payload, Impostor(thief, root.key_id), root)
    endorsed = endorse(good, root, root)
    yield "with a wrong bit", endorsed[:-1] + bytes([endorsed[-1] ^ 1])
    yield "for another subject", _wrapped(payload, root, root, subject=b"vehicle.keys")
    inner, outer = ContentType.MANIFEST, ContentType.ENDORSED_MANIFEST
    yield "that is no endorsement", _wrapped(payload, root, root, types=(inner, inner))
    yield "that endorses no manifest", _wrapped(payload, root, root, types=(outer, outer))
    over = keys.manifest(version)
    over.expires_at_seconds = over.issued_at_seconds - 1
    yield "whose time is over", endorse(over, root, root)
    cut = keys.manifest(version)
    cut.keys[0].public_key = cut.keys[0].public_key[:-1]
    yield "with a key of a wrong length", endorse(cut, root, root)
    low = keys.manifest(version)
    low.keys.add(
        use=session_pb2.KEY_USE_SEAL, public_key=bytes(32), expires_at_seconds=low.expires_at_seconds
    )
    yield "with a seal key of small order", endorse(low, root, root)


def _wrapped(
    payload: bytes,
    root: Signer,
    previous: Signer,
    *,
    subject: bytes = SUBJECT,
    types: tuple[str, str] = (ContentType.MANIFEST, ContentType.ENDORSED_MANIFEST),
) -> bytes:
    inner = cose.sign(root, types[0], subject, payload)
    return cose.sign(previous, types[1], subject, inner)
