"""Orders while something breaks: the broker, the agent, the disk, the keys."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.vehicle.v1 import body_pb2, command_pb2, report_pb2

from protocol.faults import Fault
from protocol.streams import VEHICLE_COMMANDS
from protocol.subjects import CommandKind, EventKind
from tests.messaging.vehicle_cloud import Broker, Cloud, door_command, until
from tests.support.protocol_harness import CLOUD_SIGNER, signer
from tests.support.signed_cloud import FAR_SECONDS, OTHER_VIN, VIN, manifest
from vehicle.doors.automation import ActuationCause
from vehicle.doors.body import DoorName
from vehicle.messages.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable

    from vehicle.simulator.simulated_car import SimulatedCar
from tests.messaging.vehicle_orders.vehicle_looks import moved_doors


async def test_garbage_does_not_block_the_queue(cloud: Cloud, make_car: Callable[..., SimulatedCar]) -> None:
    one = make_car()
    await cloud.subscribes(EventKind.STATUS)
    await one.agent.sleep()
    signed, unsigned = cloud.signed, door_command()
    await cloud.order_bytes("door", b"\xff\x00garbage")
    await cloud.order_bytes("cancel", b"")
    await cloud.order_bytes("session", b"")
    await cloud.order_bytes("keys", b"x" * 20_000)
    await cloud.order_bytes("dance", b"x")
    await cloud.order_bytes("door", unsigned.SerializeToString())
    await cloud.order_bytes("door", signed.car.seal_to(unsigned.SerializeToString()))
    await cloud.order_bytes("door", signed.forge(door_command(), vin=OTHER_VIN))
    await cloud.order_bytes("door", signed.forge(door_command(), by=signer("mallory")))
    await cloud.order_bytes("config", signed.sign(door_command()))
    await cloud.order(CommandKind.DOOR, command_pb2.DoorCommand(command_id="no-doors"))
    good = door_command(doors=(body_pb2.DOOR_ID_TRUNK,))
    await cloud.order(CommandKind.DOOR, good)
    one.agent.wake()
    await cloud.until(lambda: any(r.command_id == good.command_id for r in cloud.received(EventKind.RESULT)))
    await cloud.queue_is_empty()
    refused = next(r for r in cloud.received(EventKind.RESULT) if r.command_id == "no-doors")
    assert refused.fault == report_pb2.FAULT_CODE_NOT_SUPPORTED
    assert moved_doors(one) == ["trunk"]
    # Some it refused by a fault, though the cloud had issued none of them.
    assert {why.partition(":")[0] for why in cloud.unbelieved} == {"WRONG_REQUEST"}
    cloud.unbelieved.clear()


@pytest.mark.parametrize("link", ["nats"], indirect=True)  # a session is not asked for: it is there
async def test_a_lost_queue_is_asked_for_again(cloud: Cloud, make_car: Callable[..., SimulatedCar]) -> None:
    make_car()
    await cloud.order(CommandKind.DOOR, door_command())
    await cloud.subscribes(EventKind.RESULT)
    hellos = len(cloud.received(EventKind.HELLO))
    await cloud.jetstream.delete_consumer(VEHICLE_COMMANDS, VIN)
    await cloud.subscribes(EventKind.HELLO, hellos + 1)
    await cloud.order(CommandKind.DOOR, door_command(command_pb2.DOOR_ACTION_LOCK))
    assert (await cloud.subscribes(EventKind.RESULT, 2)).outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED


async def test_a_result_survives_the_brokers_restart(
    broker: Broker, cloud: Cloud, make_car: Callable[..., SimulatedCar]
) -> None:
    one = make_car(door_time_seconds=0.1)
    await cloud.subscribes(EventKind.STATUS)
    command = door_command()
    await cloud.order(CommandKind.DOOR, command)
    await until(lambda: len(moved_doors(one)) > 0)
    broker.kill()
    await until(lambda: len(moved_doors(one)) == 5)
    await broker.start()
    result = await cloud.stored_result()
    assert result.command_id == command.command_id
    assert result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED
    await cloud.queue_is_empty()
    assert len(moved_doors(one)) == 5


async def test_a_result_survives_broker_and_agent(
    broker: Broker, cloud: Cloud, make_car: Callable[..., SimulatedCar]
) -> None:
    one = make_car(door_time_seconds=0.05)
    await cloud.subscribes(EventKind.STATUS)
    command = door_command()
    await cloud.order(CommandKind.DOOR, command)
    await until(lambda: len(moved_doors(one)) > 0)
    broker.kill()
    await until(lambda: len(moved_doors(one)) == 5 and not one.agent.is_busy)
    await one.reboot()
    await broker.start()
    result = await cloud.stored_result()
    assert result.command_id == command.command_id
    assert result.outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED


async def test_messages_can_be_dropped_and_duplicated(
    cloud: Cloud, make_car: Callable[..., SimulatedCar]
) -> None:
    one = make_car()
    await cloud.subscribes(EventKind.DIAGNOSTICS)
    await cloud.order(CommandKind.DOOR, door_command())
    await cloud.subscribes(EventKind.RESULT)
    await cloud.queue_is_empty()
    await until(lambda: not cloud.received(EventKind.STATUS)[-1].doors[0].locked)
    one.link.drop_next()
    one.car.change(lambda body: body.with_window(DoorName.DRIVER, is_open=True), ActuationCause.HAND)
    await until(lambda: one.link.dropped_count == 1)
    one.link.duplicate_next()
    one.car.change(lambda body: body.with_battery(50), ActuationCause.HAND)
    await cloud.until(lambda: cloud.signed.repetitions == [EventKind.STATUS])


async def test_a_car_that_cannot_write_its_journal_does_not_act(
    cloud: Cloud, make_car: Callable[..., SimulatedCar], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make_car()
    await cloud.subscribes(EventKind.STATUS)

    def disk_full(_journal: Journal, *_line: object) -> None:
        raise OSError(errno.ENOSPC, "disk full")

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "begin", disk_full)
        await cloud.order(CommandKind.DOOR, door_command())
        await until(lambda: not one.agent.connected.is_set())
    assert one.car.log.read() == []
    # The disk has room again: the broker delivers the command once more, and the cloud signs it for this epoch.
    await one.reboot()
    assert (await cloud.subscribes(EventKind.RESULT)).outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED
    assert set(cloud.faults) == {Fault.WRONG_EPOCH}
    assert len(moved_doors(one)) == 5


async def test_an_order_that_a_reboot_overtook_is_signed_again_and_acts_once(
    cloud: Cloud, make_car: Callable[..., SimulatedCar]
) -> None:
    one = make_car()
    await cloud.subscribes(EventKind.STATUS)
    await one.agent.sleep()
    await cloud.order(CommandKind.DOOR, door_command())
    await one.reboot()
    assert (await cloud.subscribes(EventKind.RESULT)).outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED
    await cloud.queue_is_empty()
    assert set(cloud.faults) == {Fault.WRONG_EPOCH}
    assert len(moved_doors(one)) == 5


async def test_a_command_that_waits_outlives_the_broker_and_acts_once(
    broker: Broker, cloud: Cloud, make_car: Callable[..., SimulatedCar]
) -> None:
    one = make_car()
    await cloud.subscribes(EventKind.STATUS)
    async with one.car.actuators:
        await cloud.order(CommandKind.DOOR, door_command())
        await until(lambda: one.agent.is_busy)
        broker.kill()
        await until(lambda: not one.agent.connected.is_set())
        await broker.start()
        await one.agent.connected.wait()
    assert (await cloud.stored_result()).outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED
    await cloud.queue_is_empty()
    assert len(moved_doors(one)) == 5
    assert cloud.faults == []


async def test_replayed_and_forged_orders_move_nothing(
    cloud: Cloud, make_car: Callable[..., SimulatedCar]
) -> None:
    one = make_car()
    await cloud.subscribes(EventKind.STATUS)
    signed = cloud.signed
    first = signed.sign(door_command(command_id="first"))
    await cloud.order_bytes("door", first)
    await cloud.subscribes(EventKind.RESULT)
    lines = len(one.car.log.read())
    forged = [
        signed.forge(door_command(), by=signer("mallory")),
        signed.forge(door_command(), epoch=bytes(16)),
        signed.forge(door_command(), subject=f"vehicle.{OTHER_VIN}.cmd.door".encode()),
        signed.forge(door_command(command_pb2.DOOR_ACTION_LOCK), counter=1),
    ]
    for data in (first, first, *forged):
        await cloud.order_bytes("door", data)
    await cloud.queue_is_empty()
    await one.reboot()
    await cloud.subscribes(EventKind.HELLO, 2)
    await cloud.order_bytes("door", first)
    await cloud.queue_is_empty()
    assert len(one.car.log.read()) == lines
    assert len(cloud.message_ids(EventKind.RESULT)) == 1
    cloud.unbelieved.clear()  # its faults answered orders that the cloud had never issued


async def test_the_clouds_keys_are_rotated_while_it_runs_and_across_a_reboot(
    cloud: Cloud, make_car: Callable[..., SimulatedCar]
) -> None:
    one = make_car()
    await cloud.subscribes(EventKind.STATUS)
    following = signer("the next cloud signer")
    keys = {CLOUD_SIGNER.public_bytes: (FAR_SECONDS, True), following.public_bytes: (FAR_SECONDS, False)}
    await cloud.order_bytes("keys", cloud.signed.seal_manifest(manifest(2, sign_keys=keys)))
    await cloud.until(lambda: manifests_said(cloud)[-1] == 2)
    for number in (1, 2):
        await cloud.order_bytes("door", cloud.signed.sign(door_command(), by=CLOUD_SIGNER))
        await cloud.order(CommandKind.DOOR, door_command(command_id=f"c{number}"), by=following)
        await cloud.subscribes(EventKind.RESULT, number)
        await cloud.queue_is_empty()
        await one.reboot()
        await cloud.subscribes(EventKind.HELLO, 2 + number)
    assert manifests_said(cloud) == [1, 2, 2, 2]
    assert {line["command_id"] for line in one.car.log.read()} == {"c1"}
    assert {r.command_id for r in cloud.received(EventKind.RESULT)} == {"c1", "c2"}


def manifests_said(cloud: Cloud) -> list[int]:
    return [one.info.manifest_version for one in cloud.signed.received if one.info]
