"""Envelopes at the edges of their form: the one encoding, all sizes, and fields of a later day."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from conformance.encodings import other_encodings
from conformance.finding import Group, RuleViolatedError
from conformance.forge import Mutation, unknown_field
from conformance.orders import unlock
from protocol.domains import Domain, subject_of
from protocol.seal import MAX_SEALED_BYTES

if TYPE_CHECKING:
    from conformance.cloud import OutboundOrder
    from conformance.unit import Unit

GROUP = Group("encoding")
_LATER_DAY_BYTES = 40
_GUESSES = 5


@GROUP.rule
async def other_encodings_are_ignored(unit: Unit) -> None:
    """A reader refuses anything that would not come out byte for byte when encoded again."""
    for what, envelope in _encoded_otherwise(unit):
        signed, data = envelope
        await unit.send(replace(signed, data=data))
        try:
            await unit.never_acts(signed)
        except RuleViolatedError as violated:
            raise RuleViolatedError(f"an envelope with {what}: {violated}") from violated
        unit.says_nothing([signed])


def _encoded_otherwise(unit: Unit) -> list[tuple[str, tuple[OutboundOrder, bytes]]]:
    subject = subject_of(unit.cloud.vin, Domain.COMMAND)
    made = []
    signed = unit.cloud.sign(unlock())
    for nth, (what, _) in enumerate(other_encodings(signed.envelope, unit.cloud.signer, subject)):
        one = unit.cloud.sign(unlock())
        _, envelope = list(other_encodings(one.envelope, unit.cloud.signer, subject))[nth]
        made.append((what, (one, unit.cloud.seal(envelope))))
    return made


@GROUP.rule
async def unknown_fields_are_ignored(unit: Unit) -> None:
    """The payload's bytes are signed as they are; unknown protobuf fields in it are ignored."""
    order = unlock()
    order.MergeFromString(unknown_field(_LATER_DAY_BYTES))
    signed = await unit.order(order, Mutation(extra=unknown_field(_LATER_DAY_BYTES)))
    await unit.succeeds(signed)
    await unit.acted_once(signed)


@GROUP.rule
async def largest_order_acts(unit: Unit) -> None:
    """At most 16,384 bytes: an order of that size acts, one that is a byte longer is TOO_LARGE."""
    largest = _of_size(unit, MAX_SEALED_BYTES)
    await unit.send(largest)
    await unit.succeeds(largest)
    await unit.at_rest()
    longer = _of_size(unit, MAX_SEALED_BYTES + 1)
    await unit.send(longer)
    await unit.never_acts(longer)
    unit.says_nothing([longer])


def _of_size(unit: Unit, size: int) -> OutboundOrder:
    padding = size // 2
    for _ in range(_GUESSES):
        signed = unit.cloud.sign(unlock(), Mutation(extra=unknown_field(padding)))
        if len(signed.data) == size:
            return signed
        padding += size - len(signed.data)
    raise ValueError(f"no order seals to {size} bytes")


@GROUP.rule
async def nonsense_is_ignored(unit: Unit) -> None:
    """Message well-formed, else MALFORMED: what a good key signed and is no order is not answered."""
    signed = [
        unit.cloud.sign(unlock(), Mutation(payload=payload))
        for payload in (b"\xff" * 16, b"\x0a\x7fcut short")
    ]
    for one in signed:
        await unit.send(one)
    await unit.never_acts(*signed)
    unit.says_nothing(signed)
