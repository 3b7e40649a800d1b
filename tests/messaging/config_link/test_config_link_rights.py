"""Settings and the rights behind them: what ends on its way, what waits, and what two replicas do at once."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from ecarus.remotecontrol.access.v1 import grant_pb2
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as signing
from ecarus.remotecontrol.door.v1.room_event_pb2 import SettingsWithdrawn
from ecarus.remotecontrol.vehicle.v1 import command_pb2
from nats.js.errors import NotFoundError

from protocol.streams import ROOM_EVENTS
from protocol.subjects import GRANT_REVOKED_SUBJECT, SETTINGS_WITHDRAWN_SUBJECT, EventKind
from services.config.adapters.dispatch import outgoing
from services.config.domain.config import NOT_PROVEN, RIGHT_ENDED, DoorConfig, RequestEvidence, push
from services.config.domain.settings import DoorSettings
from tests.messaging.config_harness import ConfigHarness, answer
from tests.messaging.config_link.config_states import APPLIED, REJECTED, is_state
from tests.support.protocol_harness import OTHER_VIN, VIN, Car


async def tell_of_the_end(service: ConfigHarness, **told: Any) -> None:
    revoked = grant_pb2.GrantRevoked(**({"principal": "user-123", "vin": VIN} | told))
    await service.broker.jetstream.publish(GRANT_REVOKED_SUBJECT, revoked.SerializeToString())


async def cancelled(service: ConfigHarness) -> SettingsWithdrawn:
    """What the service that keeps vehicles' queues is told."""
    async with asyncio.timeout(60):
        while True:
            try:
                told = await service.broker.jetstream.get_last_msg(ROOM_EVENTS, SETTINGS_WITHDRAWN_SUBJECT)
            except NotFoundError:
                await asyncio.sleep(0.01)
            else:
                return SettingsWithdrawn.FromString(told.data or b"")


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"vin": ""},
        {"vin": "", "kind": grant_pb2.ENDED_RIGHT_ACCOUNT},
        {"principal": "", "vin": "", "kind": grant_pb2.ENDED_RIGHT_CREDENTIAL},
    ],
    ids=["grant", "all vehicles", "account", "credential"],
)
async def test_settings_on_their_way_are_taken_back_when_the_right_ends(
    service: ConfigHarness, car: Car, told: dict[str, Any]
) -> None:
    await service.change("c-1", auto_lock_delay_seconds=60)
    await service.until_dealt_with()  # they lie in the vehicle's queue
    service.signer.end_right_of("user-123")
    await tell_of_the_end(service, **told)
    config = await service.until(is_state(REJECTED))
    assert config.rejection == RIGHT_ENDED
    assert await cancelled(service) == SettingsWithdrawn(vin=VIN, version=1)
    await service.greet(car, "m-9", 0)
    await service.greet(car, "m-10", 0)
    await service.until_dealt_with()
    assert len(service.signer.signed) == 1


async def test_settings_of_others_and_those_still_allowed_go_on(service: ConfigHarness, car: Car) -> None:
    await service.change("c-1", auto_lock_delay_seconds=60)
    await tell_of_the_end(service)  # another grant allows it
    await tell_of_the_end(service, principal="user-9")
    await service.broker.jetstream.publish(GRANT_REVOKED_SUBJECT, b"\xff")
    await service.letters(1)
    told, request_hash = await service.accepted(car)
    await service.publish(EventKind.CONFIG, answer(car, "m-1", request_hash, told.version).data)
    await service.until(is_state(APPLIED))


async def test_while_nobody_can_tell_of_the_right_its_end_waits(service: ConfigHarness, car: Car) -> None:
    await service.change("c-1", auto_lock_delay_seconds=60)
    await service.until_dealt_with()
    service.signer.end_right_of("user-123")
    service.signer.away = True
    await tell_of_the_end(service)
    await service.greet(car, "m-1", 0)
    service.signer.asked.clear()
    service.signer.away = False
    assert (await service.until(is_state(REJECTED))).rejection == RIGHT_ENDED


async def test_nothing_is_signed_after_the_right_ended(service: ConfigHarness, car: Car) -> None:
    await service.change("c-1", child_lock_enabled=True)
    await service.queued(1)  # lost in the car
    service.signer.end_right_of("user-123")

    await service.greet(car, "m-1", 0)

    config = await service.until(is_state(REJECTED))
    assert config.rejection == RIGHT_ENDED
    service.signer.asked.clear()
    await service.greet(car, "m-2", 0)
    await service.publish(EventKind.CONFIG, b"the end")
    await service.letters(1)
    await service.until_dealt_with()
    assert not service.signer.asked.is_set()  # given up is given up

    await service.change("c-2", subject="user-456", child_lock_enabled=True)  # the same again, by who may

    told, _ = await service.accepted(car)
    assert (told.version, told.settings.child_lock_enabled) == (2, True)
    assert [order.config.version for order in service.signer.signed] == [1, 2]


@pytest.mark.parametrize("capability", ["", "made up", "of another vehicle"])
async def test_settings_that_nobody_asked_for_never_leave_and_hold_up_no_other(
    running: ConfigHarness, car: Car, other: Car, capability: str
) -> None:
    await running.until_greeted(car)
    await running.until_greeted(other)
    running.signer.capabilities["of another vehicle"] = (OTHER_VIN, "user-456")
    await running.crash()
    await running.change("c-1", child_lock_enabled=True)
    forged = DoorConfig(VIN, DoorSettings(auto_lock_enabled=False), running.now(), desired_version=1)
    await running.put(
        outgoing(push(forged, RequestEvidence(capability, running.now()), "forged"), running.now())
    )
    await running.change("c-2", vin=OTHER_VIN, child_lock_enabled=True)

    running.run()

    told, _ = await running.accepted(other)
    config = await running.until(is_state(REJECTED))
    assert config.rejection == NOT_PROVEN
    await running.until_dealt_with()
    assert told.version == 1
    assert [order.vin for order in running.signer.signed] == [OTHER_VIN]


async def test_outbox_rows_that_are_no_settings_never_leave_and_hold_up_no_other(
    service: ConfigHarness, car: Car
) -> None:
    capability = service.signer.issue(VIN, "user-123")
    unlock = signing.RequestedOrder(
        vin=VIN, capability=capability, door=command_pb2.DoorCommand(command_id="cmd-1")
    )
    elsewhere = signing.RequestedOrder(
        vin="nonsense", capability=capability, config=command_pb2.ApplyConfig(version=1)
    )
    like = outgoing(
        push(
            DoorConfig(VIN, DoorSettings(), service.now(), 1), RequestEvidence(capability, service.now()), "x"
        ),
        service.now(),
    )
    for number, payload in enumerate((unlock.SerializeToString(), elsewhere.SerializeToString(), b"\xff")):
        await service.put(replace(like, message_id=f"forged-{number}", payload=payload))
    await service.put(replace(like, message_id="forged-3", subject="vehicle.nonsense.cmd.config"))

    await service.change("c-1", child_lock_enabled=True)

    told, _ = await service.accepted(car)
    await service.until_dealt_with()
    assert (told.version, await service.ever_published()) == (1, 1)


async def test_settings_wait_for_a_signer_that_is_away(service: ConfigHarness, car: Car) -> None:
    service.signer.away = True
    await service.change("c-1", child_lock_enabled=True)
    await asyncio.wait_for(service.signer.asked.wait(), 60)

    service.signer.away = False

    told, _ = await service.accepted(car)
    assert told.version == 1


async def test_of_several_changes_at_once_the_newest_leaves(service: ConfigHarness, car: Car) -> None:
    await service.crash()
    await service.change("c-1", child_lock_enabled=True)
    await service.change("c-2", auto_lock_delay_seconds=60)

    service.run()

    told, _ = await service.accepted(car)
    await service.until_dealt_with()
    assert (told.version, told.settings.child_lock_enabled) == (2, True)
    assert await service.ever_published() == 1


async def test_of_two_replicas_that_issue_at_once_one_begins_again(
    idle: tuple[ConfigHarness, ConfigHarness], car: Car
) -> None:
    one, two = idle
    one.run()
    await one.until_greeted(car)
    await one.crash()
    await one.change("c-1", child_lock_enabled=True)
    config = DoorConfig(VIN, DoorSettings(child_lock_enabled=True), one.now(), desired_version=1)
    proof = RequestEvidence(one.signer.issue(VIN, "user-123"), one.now())
    messages = [outgoing(push(config, proof, cause), one.now()) for cause in ("a", "b")]
    one.signer.meet(2)

    sent = await asyncio.gather(one.dispatcher.send(messages[:1]), two.dispatcher.send(messages[1:]))

    assert sorted(sent) == [[False], [True]]
    assert [order.counter for order in one.signer.signed] == [1, 1]
    late = sent.index([False])
    assert await idle[late].dispatcher.send([messages[late]]) == [True]
    assert [order.counter for order in one.signer.signed] == [1, 1, 2]
    assert await one.ever_published() == 2  # never an order whose place was another's
