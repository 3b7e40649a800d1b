"""The order of the checks: of two things that are wrong, the earlier is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import session_pb2

from conformance.cloud import new_id
from conformance.finding import Group, RuleViolatedError, require
from conformance.forge import Mutation, stranger
from conformance.orders import cancel_command, lock, unlock
from protocol.domains import ContentType, Domain
from protocol.faults import Fault

if TYPE_CHECKING:
    from conformance.unit import Unit

GROUP = Group("checks")
_OTHER_VIN = "11111111111111111"
_OTHER_EPOCH = bytes(16)
_LATE_MILLIS = -1_000
_AHEAD = 1_000
_EMPTY_PERCENT = 1
_FULL_PERCENT = 90
_NOBODY = session_pb2.ROLE_UNSPECIFIED


@GROUP.rule
async def checks_come_in_order(unit: Unit) -> None:
    """The vehicle checks in this order and stops at the first that fails."""
    pairs = (
        (Mutation(signer=stranger(), content_type=ContentType.RESULT), Fault.UNKNOWN_KEY),
        (Mutation(content_type=ContentType.RESULT, vin=_OTHER_VIN), Fault.WRONG_TYPE),
        (Mutation(vin=_OTHER_VIN, epoch=_OTHER_EPOCH), Fault.WRONG_VEHICLE),
        (Mutation(epoch=_OTHER_EPOCH, left_millis=_LATE_MILLIS), Fault.WRONG_EPOCH),
        (Mutation(left_millis=_LATE_MILLIS, counter=0), Fault.EXPIRED),
        (Mutation(counter=0, role=_NOBODY), Fault.COUNTER_NOT_NEW),
    )
    for mutation, fault in pairs:
        signed = unit.cloud.sign(unlock(), mutation)
        await unit.refusal(signed, fault)
        await unit.never_acts(signed)


@GROUP.rule
async def type_comes_before_known(unit: Unit) -> None:
    """A known id under a wrong content type is WRONG_TYPE: the form is looked at first."""
    order = unlock()
    await unit.succeeds(await unit.order(order))
    await unit.does(lock())
    await unit.refusal(unit.cloud.sign(order, Mutation(content_type=ContentType.RESULT)), Fault.WRONG_TYPE)


@GROUP.rule
async def role_comes_last(unit: Unit) -> None:
    """Step 9 spends the counter, before the role is looked at."""
    sent = await unit.refuses(unlock(), Mutation(role=_NOBODY), Fault.ROLE_NOT_ALLOWED)
    counter = unit.cloud.session.current.issued[Domain.COMMAND]
    counters = {one.domain: one.counter for one in (await unit.asked()).counters}
    told = counters.get(Domain.COMMAND.value, 0)
    require(told >= counter, f"counter {counter} was refused for its role, and it says {told}")
    await unit.never_acts(*sent)


@GROUP.rule
async def every_domain_counts_for_itself(unit: Unit) -> None:
    """Counter (strictly rising per domain): a high one in cmd.door leaves cmd.cancel as it was."""
    issued = unit.cloud.session.current.issued
    unit.cloud.skip_to(Domain.COMMAND, max(issued.values(), default=0) + _AHEAD)
    await unit.succeeds(await unit.order(lock()))
    await unit.result(await unit.order(cancel_command(new_id())))


@GROUP.rule
async def whole_epoch_is_compared(unit: Unit) -> None:
    """Epoch, else WRONG_EPOCH: all 16 bytes of it, and no other length."""
    epoch = unit.cloud.session.epoch
    for mutation in (b"", epoch[:8], epoch[:15] + bytes((epoch[15] ^ 1,)), epoch + b"\0"):
        signed = unit.cloud.sign(unlock(), Mutation(epoch=mutation))
        try:
            await unit.refusal(signed, Fault.WRONG_EPOCH)
        except RuleViolatedError as violated:
            raise RuleViolatedError(f"an epoch of {len(mutation)} bytes: {violated}") from violated
        await unit.never_acts(signed)


@GROUP.rule
async def cancellations_need_a_role(unit: Unit) -> None:
    """Role may give this order (others: any of the three), on cmd.cancel, too."""
    await unit.refuses(cancel_command(new_id()), Mutation(role=_NOBODY), Fault.ROLE_NOT_ALLOWED)
    for role in (session_pb2.ROLE_SHARED_USER, session_pb2.ROLE_DIGITAL_KEY):
        await unit.result(await unit.order(cancel_command(new_id()), Mutation(role=role)))


@GROUP.rule
async def own_refusal_is_a_result(unit: Unit) -> None:
    """The vehicle's own rules (moving, door open, engine on, battery): refusing by those is a result, not a fault."""
    await unit.hands.ignite(engine_runs=True)
    try:
        signed = await unit.order(unlock())
        result = await unit.result(signed)
    finally:
        await unit.hands.ignite(engine_runs=False)
    require(result.fault, "it was told to unlock with the engine on, and names no fault of its own")
    require(result.guidance, "it refuses and says nothing of what can be done about it")
    await unit.never_acts(signed)


@GROUP.rule
async def lock_whatever_the_battery(unit: Unit) -> None:
    """A lock must not be refused for the battery."""
    await unit.does(unlock())
    await unit.hands.charge(_EMPTY_PERCENT)
    try:
        await unit.does(lock())
    finally:
        await unit.hands.charge(_FULL_PERCENT)
