"""Orders that no cloud signed for this unit, this subject and this moment."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import session_pb2

from conformance.cloud import new_id
from conformance.finding import Group, require
from conformance.forge import Impostor, Mutation, flips, seal_anything, stranger, stranger_to_seal_to
from conformance.orders import cancel_command, settings, unlock
from protocol.domains import ContentType, Domain, subject_of
from protocol.faults import Fault
from protocol.seal import MAX_SEALED_BYTES, Direction

if TYPE_CHECKING:
    from conformance.cloud import OutboundOrder
    from conformance.unit import Unit

GROUP = Group("forged")
_OTHER_VIN = "11111111111111111"
_SEALED_FLIPS = 24
_ENVELOPE_FLIPS = 24
_BURST = 20
_FAR_FEWER = 10


async def _ignored(unit: Unit, *signed: OutboundOrder) -> None:
    """They neither act nor are answered."""
    for one in signed:
        await unit.send(one)
    await unit.never_acts(*signed)
    unit.says_nothing(signed)


async def _refused(unit: Unit, mutation: Mutation, fault: Fault, domain: Domain | None = None) -> None:
    signed = unit.cloud.sign(unlock(), mutation, domain)
    await unit.refusal(signed, fault)
    await unit.never_acts(signed)


@GROUP.rule
async def unsigned_is_ignored(unit: Unit) -> None:
    """Form of the envelope: what is not signed is MALFORMED, and not answered."""
    await _ignored(unit, unit.cloud.sign(unlock(), Mutation(unsigned=True)))


@GROUP.rule
async def unsealed_is_ignored(unit: Unit) -> None:
    """The seal: what is not sealed is MALFORMED, and not answered."""
    signed = unit.cloud.sign(unlock())
    bare = [replace(signed, data=data) for data in (signed.envelope, b"", b"\x01\x01", bytes(100))]
    await _ignored(unit, *bare)


@GROUP.rule
async def unknown_key_is_refused(unit: Unit) -> None:
    """UNKNOWN_KEY: answered, with the session (and so the manifest's version)."""
    signed = unit.cloud.sign(unlock(), Mutation(signer=stranger()))
    refusal = await unit.refusal(signed, Fault.UNKNOWN_KEY)
    version = unit.hellos()[-1].manifest_version
    require(refusal.session.manifest_version == version, "the refusal names another manifest than the hello")
    await unit.never_acts(signed)


@GROUP.rule
async def expired_key_is_refused(unit: Unit) -> None:
    """EXPIRED_KEY: answered, with the session."""
    key = next(key for key in unit.cloud.keys.all("sign") if key.is_over)
    await _refused(unit, Mutation(signer=key.signer), Fault.EXPIRED_KEY)


@GROUP.rule
async def revoked_key_is_ignored(unit: Unit) -> None:
    """REVOKED_KEY: not answered."""
    key = next(key for key in unit.cloud.keys.all("sign") if key.is_revoked)
    await _ignored(unit, unit.cloud.sign(unlock(), Mutation(signer=key.signer)))


@GROUP.rule
async def bad_signature_is_ignored(unit: Unit) -> None:
    """Signature: what somebody else signed under a good key's id is BAD_SIGNATURE, and not answered."""
    impostor = Impostor(stranger(), unit.cloud.signer.key_id)
    await _ignored(unit, unit.cloud.sign(unlock(), Mutation(signer=impostor)))


@GROUP.rule
async def other_vehicles_subject_is_ignored(unit: Unit) -> None:
    """Signature, with the own VIN: what was signed for another vehicle's subject is not answered."""
    subject = subject_of(_OTHER_VIN, Domain.COMMAND)
    await _ignored(unit, unit.cloud.sign(unlock(), Mutation(subject=subject, vin=_OTHER_VIN)))


@GROUP.rule
async def other_domains_subject_is_ignored(unit: Unit) -> None:
    """Signature, with this domain: a message is worth nothing on another subject."""
    door = unit.cloud.sign(unlock())
    strays = [replace(door, domain=domain) for domain in (Domain.CANCEL, Domain.CONFIG)]
    cancellation = unit.cloud.sign(cancel_command("nothing"))
    strays.append(replace(cancellation, domain=Domain.COMMAND, order=unlock()))
    await _ignored(unit, *strays)


@GROUP.rule
async def wrong_type_is_refused(unit: Unit) -> None:
    """Content type is an order's, else WRONG_TYPE: answered, without session."""
    await _refused(unit, Mutation(content_type=ContentType.RESULT), Fault.WRONG_TYPE)


@GROUP.rule
async def wrong_domain_is_refused(unit: Unit) -> None:
    """Content type is this domain's, else WRONG_DOMAIN: answered, without session."""
    await _refused(unit, Mutation(content_type=ContentType.CONFIG), Fault.WRONG_DOMAIN)


@GROUP.rule
async def wrong_vehicle_is_refused(unit: Unit) -> None:
    """vin, else WRONG_VEHICLE: answered, without session."""
    await _refused(unit, Mutation(vin=_OTHER_VIN), Fault.WRONG_VEHICLE)


@GROUP.rule
async def ids_are_looked_at(unit: Unit) -> None:
    """The id has 1-128 characters (of a cancellation both of its ids), else MALFORMED: not answered."""
    orders = [unlock(command_id="x" * 129), unlock()]
    orders[1].command_id = ""
    await _ignored(unit, *(unit.cloud.sign(order) for order in orders))
    nameless, aimless = cancel_command(new_id()), cancel_command("")
    nameless.cancel_id = ""
    signed = [unit.cloud.sign(order) for order in (nameless, aimless, cancel_command("x" * 129))]
    for one in signed:
        await unit.send(one)
    await unit.fence()
    unit.says_nothing(signed)


@GROUP.rule
async def wrong_length_is_ignored(unit: Unit) -> None:
    """Truncation and trailing bytes are refused, inside the seal and outside."""
    signed = unit.cloud.sign(unlock())
    outside = [signed.data[:-1], signed.data[:58], signed.data + b"\0"]
    inside = [signed.envelope[:-1], signed.envelope + b"\0"]
    sealed = [unit.cloud.seal(envelope) for envelope in inside]
    await _ignored(unit, *(replace(signed, data=data) for data in (*outside, *sealed)))


@GROUP.rule
async def sealed_to_another_is_ignored(unit: Unit) -> None:
    """It opens, else NOT_FOR_US: sealed to another key, or the other way."""
    other = stranger_to_seal_to()
    disguised = replace(other, key_id=unit.cloud.unit.seal_key.key_id)
    wrongs = [
        Mutation(receiver=other),
        Mutation(receiver=disguised),
        Mutation(direction=Direction.TO_CLOUD),
    ]
    signed = [unit.cloud.sign(unlock(), mutation) for mutation in wrongs]
    elsewhere = unit.cloud.sign(unlock())
    for_another = seal_anything(
        elsewhere.envelope, unit.cloud.unit.seal_key, Direction.TO_VEHICLE, _OTHER_VIN
    )
    await _ignored(unit, *signed, replace(elsewhere, data=for_another))


@GROUP.rule
async def oversize_is_ignored(unit: Unit) -> None:
    """At most 16,384 bytes, else TOO_LARGE: not answered."""
    order = unlock()
    order.correlation_id = "x" * MAX_SEALED_BYTES
    await _ignored(unit, unit.cloud.sign(order))


@GROUP.rule
async def flipped_bits_are_ignored(unit: Unit) -> None:
    """One wrong bit anywhere in the sealed bytes, and it does not open."""
    signed = unit.cloud.sign(unlock())
    await _ignored(unit, *(replace(signed, data=data) for data in flips(signed.data, _SEALED_FLIPS)))


@GROUP.rule
async def flipped_envelope_bits_are_ignored(unit: Unit) -> None:
    """One wrong bit anywhere in the envelope, and its form or its signature is wrong."""
    signed = unit.cloud.sign(unlock())
    at = signed.envelope.index(unit.cloud.signer.key_id)
    spare = range(at, at + len(unit.cloud.signer.key_id))  # another key id is UNKNOWN_KEY, and answered
    copies = [unit.cloud.seal(envelope) for envelope in flips(signed.envelope, _ENVELOPE_FLIPS, spare)]
    await _ignored(unit, *(replace(signed, data=data) for data in copies))


@GROUP.rule
async def role_is_looked_at(unit: Unit) -> None:
    """Role may give this order (settings: owner), else ROLE_NOT_ALLOWED: answered, without session."""
    version = unit.hellos()[-1].hello.config_version + 1_000
    for role in (session_pb2.ROLE_SHARED_USER, session_pb2.ROLE_DIGITAL_KEY):
        await unit.refuses(settings(version), Mutation(role=role), Fault.ROLE_NOT_ALLOWED)
    nobody = Mutation(role=session_pb2.ROLE_UNSPECIFIED)
    await unit.never_acts(*await unit.refuses(unlock(), nobody, Fault.ROLE_NOT_ALLOWED))
    in_force = (await unit.asked()).hello.config_version
    require(in_force < version, "settings came into force that no owner ordered")


@GROUP.rule
async def faults_have_a_budget(unit: Unit) -> None:
    """Have a budget for faults: one a second is plenty."""
    await unit.afford()
    began = asyncio.get_running_loop().time()
    burst = [unit.cloud.sign(unlock(), Mutation(epoch=bytes(16))) for _ in range(_BURST)]
    for one in burst:
        await unit.send(one)
    await unit.never_acts(*burst)
    earned = (asyncio.get_running_loop().time() - began) / unit.patience.pace
    answered = sum(len(unit.cloud.answers(one.request_hash)) for one in burst)
    require(
        answered <= _FAR_FEWER + earned, f"{answered} of {len(burst)} refused orders were answered at once"
    )
    await unit.afford(2)
