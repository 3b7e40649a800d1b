"""Which keys the unit believes: rotation, revocation, rollback. What it adopts here, it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.finding import Group, require
from conformance.forge import Wrong, stranger
from conformance.orders import lock, unlock
from protocol.domains import Domain
from protocol.manifest import endorse

if TYPE_CHECKING:
    from ecarus.remotecontrol.vehicle.v1 import session_pb2

    from conformance.unit import Unit

GROUP = Group("keys")


async def _told(unit: Unit, endorsed: bytes) -> session_pb2.SessionInfo:
    """What the unit says after it got this manifest."""
    await unit.send_bytes(Domain.KEYS, unit.cloud.seal(endorsed))
    return await unit.asked()


async def _adopts(unit: Unit, version: int) -> session_pb2.SessionInfo:
    info = await _told(unit, unit.cloud.keys.endorsed(version))
    require(
        info.manifest_version == version, f"manifest {version} was sent, and it is at {info.manifest_version}"
    )
    return info


@GROUP.rule
async def signer_is_rotated(unit: Unit) -> None:
    """Rotation of a signer: manifest N+1 with both keys; both are believed. N+2 revokes the old:
    REVOKED_KEY.
    """
    keys = unit.cloud.keys
    old = keys.current("sign")
    new = keys.add("sign")
    await _adopts(unit, keys.endorse_next())
    for key in (old, new):
        await unit.does(unlock(), by=key.signer)
        await unit.does(lock(), by=key.signer)
    keys.revoke(old)
    await _adopts(unit, keys.endorse_next())
    withdrawn = await unit.order(unlock(), Wrong(signer=old.signer))
    await unit.never_acts(withdrawn)
    unit.says_nothing([withdrawn])


@GROUP.rule
async def rollback_is_refused(unit: Unit) -> None:
    """Version above the one in use, else MANIFEST_ROLLBACK: a revoked key never comes back."""
    keys = unit.cloud.keys
    version = keys.endorse_next()
    await _adopts(unit, version)
    for older in range(max(1, version - 2), version):
        info = await _told(unit, keys.endorsed(older))
        require(info.manifest_version == version, f"it went back to manifest {info.manifest_version}")
    other = keys.manifest(version)
    other.expires_at_seconds += 1
    root = keys.root.signer
    await _told(unit, endorse(other, root, root))
    gone = next(key for key in reversed(keys.all("sign")) if key.is_revoked)
    revoked = await unit.order(unlock(), Wrong(signer=gone.signer))
    await unit.never_acts(revoked)
    unit.says_nothing([revoked])


@GROUP.rule
async def forged_manifest_is_refused(unit: Unit) -> None:
    """Signed by the root of the manifest in use, and by the root it names: nobody else's is adopted."""
    keys = unit.cloud.keys
    before = (await unit.asked()).manifest_version
    root, thief = keys.root.signer, stranger()
    stolen = keys.manifest(before + 10)
    stolen.root_public_key = thief.public_bytes
    forged = [endorse(stolen, thief, thief)]
    good = endorse(keys.manifest(before + 10), root, root)
    forged.append(good[:-1] + bytes([good[-1] ^ 1]))
    over = keys.manifest(before + 10)
    over.expires_at_seconds = over.issued_at_seconds - 1
    forged.append(endorse(over, root, root))
    for endorsed in forged:
        info = await _told(unit, endorsed)
        require(info.manifest_version == before, f"it adopted a forged manifest {info.manifest_version}")
    await unit.fence()


@GROUP.rule
async def root_is_rotated(unit: Unit) -> None:
    """Rotation of the root: one manifest that names the new root, signed by both."""
    keys = unit.cloud.keys
    old = keys.root
    keys.add("root")
    keys.revoke(old)
    version = keys.endorse_next(before=old)
    await _adopts(unit, version)
    stolen = keys.manifest(version + 1)
    stolen.root_public_key = old.public_bytes
    info = await _told(unit, endorse(stolen, old.signer, old.signer))
    require(info.manifest_version == version, "it still believes the root before")
    await _adopts(unit, keys.endorse_next())
    await unit.fence()


@GROUP.rule
async def revoked_report_key_ends_the_epoch(unit: Unit) -> None:
    """If a new manifest revokes the report key in use, begin a new epoch."""
    keys = unit.cloud.keys
    before = await unit.asked()
    keys.revoke(keys.current("report"))
    new = keys.add("report")
    unit.cloud.keys_changed()
    info = await _adopts(unit, keys.endorse_next())
    require(info.epoch != before.epoch, "it went on in its epoch")
    require(info.report_key_id == new.key_id, "it reports under another key than the manifest's")
    require(info.report_public_key != before.report_public_key, "its own report key is the one before")
    await unit.does(unlock())
    await unit.does(lock())
