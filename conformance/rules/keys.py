"""Which keys the unit accepts: rotation, revocation, rollback. What it adopts here, it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.finding import Group, require
from conformance.forge import Mutation
from conformance.forge_manifest import forged_manifests
from conformance.orders import lock, unlock
from protocol.domains import Domain
from protocol.manifest import endorse

if TYPE_CHECKING:
    from ecarus.remotecontrol.vehicle.v1 import session_pb2

    from conformance.unit import Unit

GROUP = Group("keys")


async def told(unit: Unit, endorsed: bytes) -> session_pb2.SessionInfo:
    """What the unit says after it got this manifest."""
    await unit.send_bytes(Domain.KEYS, unit.cloud.seal(endorsed))
    return await unit.asked()


async def adopts(unit: Unit, version: int) -> session_pb2.SessionInfo:
    """Sends it, and the unit must be at it then; what it says."""
    info = await told(unit, unit.cloud.keys.endorsed(version))
    require(
        info.manifest_version == version, f"manifest {version} was sent, and it is at {info.manifest_version}"
    )
    return info


@GROUP.rule
async def signer_is_rotated(unit: Unit) -> None:
    """Rotation of a signer: manifest N+1 with both keys; both are accepted. N+2 revokes the old:
    REVOKED_KEY.
    """
    keys = unit.cloud.keys
    old = keys.current("sign")
    new = keys.add("sign")
    await adopts(unit, keys.endorse_next())
    for key in (old, new):
        await unit.does(unlock(), by=key.signer)
        await unit.does(lock(), by=key.signer)
    keys.revoke(old)
    await adopts(unit, keys.endorse_next())
    cancelled = await unit.order(unlock(), Mutation(signer=old.signer))
    await unit.never_acts(cancelled)
    unit.says_nothing([cancelled])


@GROUP.rule
async def rollback_is_refused(unit: Unit) -> None:
    """Version above the one in use, else MANIFEST_ROLLBACK: a revoked key never comes back."""
    keys = unit.cloud.keys
    version = keys.endorse_next()
    await adopts(unit, version)
    for older in range(max(1, version - 2), version):
        info = await told(unit, keys.endorsed(older))
        require(info.manifest_version == version, f"it went back to manifest {info.manifest_version}")
    gone = next(key for key in reversed(keys.all("sign")) if key.is_revoked)
    other = keys.manifest(version)
    for key in other.keys:
        key.revoked &= key.public_key != gone.public_bytes
    root = keys.root.signer
    await told(unit, endorse(other, root, root))
    revoked = await unit.order(unlock(), Mutation(signer=gone.signer))
    await unit.never_acts(revoked)
    unit.says_nothing([revoked])


@GROUP.rule
async def forged_manifest_is_refused(unit: Unit) -> None:
    """Signed by the root of the manifest in use, and by the root it names: nobody else's is adopted."""
    keys = unit.cloud.keys
    before = (await unit.asked()).manifest_version
    for what, endorsed in forged_manifests(keys, before + 10):
        info = await told(unit, endorsed)
        now = info.manifest_version
        require(now == before, f"it adopted a manifest {what}: it says version {now}")
    await unit.fence()


@GROUP.rule
async def root_is_rotated(unit: Unit) -> None:
    """Rotation of the root: one manifest that names the new root, signed by both."""
    keys = unit.cloud.keys
    old = keys.root
    keys.add("root")
    keys.revoke(old)
    version = keys.endorse_next(before=old)
    await adopts(unit, version)
    stolen = keys.manifest(version + 1)
    stolen.root_public_key = old.public_bytes
    info = await told(unit, endorse(stolen, old.signer, old.signer))
    require(info.manifest_version == version, "it still believes the root before")
    await adopts(unit, keys.endorse_next())
    await unit.fence()


@GROUP.rule
async def revoked_report_key_ends_the_epoch(unit: Unit) -> None:
    """If a new manifest revokes the report key in use, begin a new epoch."""
    keys = unit.cloud.keys
    before = await unit.asked()
    keys.revoke(keys.current("report"))
    new = keys.add("report")
    unit.cloud.keys_changed()
    info = await adopts(unit, keys.endorse_next())
    require(info.epoch != before.epoch, "it went on in its epoch")
    require(info.report_key_id == new.key_id, "it reports under another key than the manifest's")
    require(info.report_public_key != before.report_public_key, "its own report key is the one before")
    await unit.does(unlock())
    await unit.does(lock())
