"""Cancellations: by the cloud itself, and of the unlock before a lock."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as contract
from ecarus.remotecontrol.vehicle.v1 import command_pb2, session_pb2

from protocol import cose
from protocol.domains import Domain, subject_of
from tests.contract.signer.conftest import CLOUD_SIGNER_KEY, MAC, OTHER_VIN, VIN, SignerHarness


async def test_who_acts_for_another_is_asked_about_too(service: SignerHarness) -> None:
    capability = service.signer.capability(VIN, "door.unlock", actor="agent-7")
    order = service.order(capability=capability)
    order.requested.door.actor = "agent-7"
    order.requested.mac = MAC.of(order.requested)
    assert await service.verdict(order) == "SIGNED"
    service.rights.locked.add("agent-7")
    assert await service.verdict(order) == "NOT_ALLOWED"
    assert service.rights.credentials == ["key_1"] * 2
    assert service.rights.asked == [("user-123", "agent-7", VIN, "door.unlock")] * 2


async def test_an_order_ends_with_the_right_to_it(service: SignerHarness) -> None:
    order = service.order()
    ends_at = order.requested.door.expires_at.ToDatetime(tzinfo=UTC) - timedelta(seconds=20)
    service.rights.ends_at = ends_at
    [answer] = await service.sign(order)
    signed = session_pb2.SignedOrder.FromString(cose.decode(answer.envelope).payload)
    assert signed.expires_at_millis == order.expires_at_millis - 20_000
    assert signed.door.expires_at.ToDatetime(tzinfo=UTC) == ends_at


def withdrawal_of(order: contract.OrderToSign, **changed: Any) -> contract.OrderToSign:
    cancel = command_pb2.CancelCommand(cancel_id="ended-cmd-1", command_id="cmd-1", reason="Right ended")
    requested = contract.RequestedOrder(vin=VIN, cancel=cancel, withdraws=order.requested)
    requested.asked_at.GetCurrentTime()
    for name, value in changed.items():
        setattr(requested, name, value)
    requested.mac = MAC.of(requested)
    return contract.OrderToSign(requested=requested, epoch=bytes(16), counter=1, expires_at_millis=60_000)


async def test_the_cloud_cancels_by_itself_once_the_right_has_ended(service: SignerHarness) -> None:
    order = service.order()
    assert await service.verdict(withdrawal_of(order)) == "NOT_ALLOWED"
    service.rights.ended.add("user-123")
    [answer] = await service.sign(withdrawal_of(order))
    envelope = cose.decode(answer.envelope)
    cose.verify(envelope, CLOUD_SIGNER_KEY, subject_of(VIN, Domain.CANCEL))
    signed = session_pb2.SignedOrder.FromString(envelope.payload)
    assert (signed.cancel.command_id, signed.WhichOneof("order")) == ("cmd-1", "cancel")
    assert signed.role == session_pb2.ROLE_DIGITAL_KEY


async def test_the_cloud_cancels_nothing_else(service: SignerHarness) -> None:
    service.rights.ended.add("user-123")
    order = service.order()
    other_vehicle = withdrawal_of(order, vin=OTHER_VIN)
    of_another = withdrawal_of(order)
    of_another.requested.cancel.command_id = "cmd-2"
    of_another.requested.mac = MAC.of(of_another.requested)
    unstamped = withdrawal_of(service.order(mac=bytes(32)))
    never_asked = withdrawal_of(service.order(capability="not a token"))
    moves_a_door = withdrawal_of(order)
    moves_a_door.requested.door.CopyFrom(order.requested.door)
    moves_a_door.requested.mac = MAC.of(moves_a_door.requested)
    of_a_withdrawal = withdrawal_of(withdrawal_of(order))
    bad = [other_vehicle, of_another, unstamped, never_asked, moves_a_door, of_a_withdrawal]
    answers = await service.sign(*bad)
    assert {answer.verdict for answer in answers} == {contract.SIGNING_VERDICT_NOT_PROVEN}


def superseding_of(
    service: SignerHarness, unlock: contract.OrderToSign, **changed: Any
) -> contract.OrderToSign:
    """The cancellation of an unlock by a lock; `changed` is of the lock, `cancels` the command that it names."""
    cancels, mac = changed.pop("cancels", "cmd-1"), changed.pop("mac", None)
    action = changed.pop("action", command_pb2.DOOR_ACTION_LOCK)
    lock = service.order(**({"capability": service.signer.capability(VIN, "door.lock")} | changed)).requested
    lock.door.action = action
    lock.mac = mac or MAC.of(lock)
    cancel = command_pb2.CancelCommand(cancel_id="superseded-cmd-1", command_id=cancels, force=True)
    requested = contract.RequestedOrder(
        vin=VIN, cancel=cancel, withdraws=unlock.requested, superseded_by=lock, asked_at=lock.asked_at
    )
    requested.mac = MAC.of(requested)
    return contract.OrderToSign(requested=requested, epoch=bytes(16), counter=1, expires_at_millis=60_000)


async def test_a_lock_cancels_the_unlock_before_it(service: SignerHarness) -> None:
    [answer] = await service.sign(superseding_of(service, service.order()))
    envelope = cose.decode(answer.envelope)
    cose.verify(envelope, CLOUD_SIGNER_KEY, subject_of(VIN, Domain.CANCEL))
    signed = session_pb2.SignedOrder.FromString(envelope.payload)
    assert (signed.cancel.command_id, signed.cancel.force) == ("cmd-1", True)
    assert service.rights.asked == [("user-123", "user-123", VIN, "door.lock")]
    # Not once the lock itself would be signed no more.
    service.rights.ended.add("user-123")
    assert await service.verdict(superseding_of(service, service.order())) == "NOT_ALLOWED"


async def test_a_lock_cancels_nothing_else(service: SignerHarness) -> None:
    unlock, lock = service.order(), service.order()
    lock.requested.door.action = command_pb2.DOOR_ACTION_LOCK
    lock.requested.mac = MAC.of(lock.requested)
    unlocks = service.signer.capability(VIN, "door.unlock")
    later = service.order(age_seconds=-20)
    bad = {
        "a lock": superseding_of(service, lock),
        "another command": superseding_of(service, unlock, cancels="cmd-2"),
        "by an unlock": superseding_of(
            service, unlock, capability=unlocks, action=command_pb2.DOOR_ACTION_UNLOCK
        ),
        "with an unlock's proof": superseding_of(service, unlock, capability=unlocks),
        "with a made-up lock": superseding_of(service, unlock, mac=bytes(32)),
        "of another vehicle": superseding_of(service, unlock, vin=OTHER_VIN),
        "of a made-up unlock": superseding_of(service, service.order(mac=bytes(32))),
        "of a later unlock": superseding_of(service, later),
        "of what supersedes": superseding_of(service, superseding_of(service, unlock)),
    }
    verdicts = {what: await service.verdict(order) for what, order in bad.items()}
    assert verdicts == dict.fromkeys(bad, "NOT_PROVEN")
