"""Manifests that are kept, left out, sent twice, and that run out. What the unit adopts here, it keeps."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import session_pb2

from conformance.finding import Group, RuleViolatedError, require
from conformance.forge import Mutation, stranger
from conformance.orders import PASSENGER, lock, unlock
from conformance.rules.keys import adopts, told
from conformance.scenes import ARRIVAL_SECONDS, has_acted, slow_doors
from protocol.domains import Domain
from protocol.faults import Fault
from protocol.subjects import EventKind

if TYPE_CHECKING:
    from conformance.cloud import UnitMessage
    from conformance.unit import Unit

GROUP = Group("manifests")
_UNKNOWN_USE = 99
_LIFE_SECONDS = 5
_SKEW_SECONDS = 6
_LATE_MILLIS = -1_000
_DOOR_SECONDS = 3.0


@GROUP.rule
async def hello_follows_a_manifest(unit: Unit) -> None:
    """It publishes SessionInfo after it adopted a manifest, in the same epoch."""
    keys = unit.cloud.keys
    before = await unit.asked()
    count = len(unit.hellos())
    version = keys.endorse_next()
    await unit.send_bytes(Domain.KEYS, unit.cloud.seal(keys.endorsed(version)))
    await unit.until(lambda: len(unit.hellos()) > count, f"a hello after manifest {version}")
    info = unit.hellos()[count]
    require(
        info.manifest_version == version, f"manifest {version} was sent, and it is at {info.manifest_version}"
    )
    require(info.epoch == before.epoch, "it began another epoch, and its report key was not revoked")
    require(not info.challenge, "a hello that nobody asked for holds a challenge")


@GROUP.rule
async def manifest_again_changes_nothing(unit: Unit) -> None:
    """Byte for byte the one in use: no change."""
    before = await unit.asked()
    info = await told(unit, unit.cloud.keys.endorsed(before.manifest_version))
    require(info.manifest_version == before.manifest_version, "its own manifest changed what it believes")
    require(info.epoch == before.epoch, "its own manifest made it begin another epoch")


@GROUP.rule
async def versions_may_be_left_out(unit: Unit) -> None:
    """Versions may be left out while the root stays."""
    keys = unit.cloud.keys
    keys.endorse_next()
    await adopts(unit, keys.endorse_next())


@GROUP.rule
async def adopted_manifest_is_kept(unit: Unit) -> None:
    """Keep the manifest on the disk before using it: whom it revoked is not accepted after a reboot."""
    keys = unit.cloud.keys
    old = keys.current("sign")
    keys.add("sign")
    keys.revoke(old)
    version = keys.endorse_next()
    await adopts(unit, version)
    info = await unit.reboot()
    now = info.manifest_version
    require(now == version, f"manifest {version} was adopted, and after the reboot it is at {now}")
    revoked = await unit.order(unlock(), Mutation(signer=old.signer))
    await unit.never_acts(revoked)
    unit.says_nothing([revoked])


@GROUP.rule
async def rotated_root_is_kept(unit: Unit) -> None:
    """Keep the manifest, and the root that endorsed it: after a reboot the new root is accepted."""
    keys = unit.cloud.keys
    old = keys.root
    keys.add("root")
    keys.revoke(old)
    version = keys.endorse_next(before=old)
    await adopts(unit, version)
    info = await unit.reboot()
    now = info.manifest_version
    require(now == version, f"manifest {version} was adopted, and after the reboot it is at {now}")
    await adopts(unit, keys.endorse_next())
    await unit.fence()


@GROUP.rule
async def first_seal_key_is_used(unit: Unit) -> None:
    """To seal: the first key of that use which is in its time, and not revoked."""
    keys = unit.cloud.keys
    first = keys.current("seal")
    new = keys.add("seal")
    unit.cloud.keys_changed()
    await adopts(unit, keys.endorse_next())
    require(
        (await _answer(unit)).sealed_to == first.key_id, "it does not seal to the first key of its manifest"
    )
    keys.revoke(first)
    await adopts(unit, keys.endorse_next())
    require((await _answer(unit)).sealed_to == new.key_id, "it does not seal to the key that is left")


async def _answer(unit: Unit) -> UnitMessage:
    answer = await unit.answer(await unit.order(lock()))
    require(answer.event is EventKind.RESULT, "the order has no result")
    return answer


@GROUP.rule
async def keys_of_another_use_sign_nothing(unit: Unit) -> None:
    """To sign: any SIGN key of the manifest. A key of another use signs nothing, one of an unknown use is left out."""
    keys = unit.cloud.keys
    signers = {session_pb2.KEY_USE_REPORT: stranger(), _UNKNOWN_USE: stranger()}
    besides = [(use, signer.public_bytes) for use, signer in signers.items()]
    await adopts(unit, keys.endorse_next(besides=besides))
    for signer in signers.values():
        signed = unit.cloud.sign(unlock(), Mutation(signer=signer))
        await unit.refusal(signed, Fault.UNKNOWN_KEY)
        await unit.never_acts(signed)
    await adopts(unit, keys.endorse_next())


@GROUP.rule
async def manifest_that_ran_out_is_said(unit: Unit) -> None:
    """In its time, else EXPIRED_KEY: a vehicle whose manifest ran out can still say so, and take the next."""
    keys = unit.cloud.keys
    await adopts(unit, keys.endorse_next(lifetime_seconds=_LIFE_SECONDS))
    try:
        await _ran_out(unit)
        # Expired, too: a copy that comes once the next manifest is here would be a good order.
        signed = unit.cloud.sign(unlock(), Mutation(left_millis=_LATE_MILLIS))
        await unit.refusal(signed, Fault.EXPIRED_KEY)
    finally:
        version = keys.endorse_next()
        await adopts(unit, version)
    await unit.never_acts(signed)


async def _ran_out(unit: Unit) -> None:
    """Until it accepts no key any more."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + _LIFE_SECONDS + _SKEW_SECONDS
    while loop.time() < ends_at:
        answer = await unit.answer(await unit.order(lock()))
        if isinstance(answer.payload, session_pb2.OrderRefused):
            return
        await unit.afford()
    raise RuleViolatedError("it believes the keys of a manifest that ran out")


@GROUP.rule
async def revoked_report_key_ends_what_waits(unit: Unit) -> None:
    """If a new manifest revokes the report key in use, begin a new epoch: what waits does not outlive it."""
    keys = unit.cloud.keys
    keys.revoke(keys.current("report"))
    keys.add("report")
    unit.cloud.keys_changed()
    version = keys.endorse_next()
    async with slow_doors(unit, _DOOR_SECONDS):
        running = await unit.order(unlock(PASSENGER))
        await has_acted(unit, running.order_id)
        waiting = await unit.order(unlock())
        await asyncio.sleep(ARRIVAL_SECONDS)
        await adopts(unit, version)
    await unit.refusal(waiting, Fault.WRONG_EPOCH)
    await unit.never_acts(waiting)
