""""""

import asyncio
from typing import Any

from ecarus.remotecontrol.vehicle.v1 import report_pb2

from protocol.domains import Domain
from protocol.subjects import EventKind
from protocol.vehicle_side import RefusedOrder
from services.config.domain.config import MOST_RESENDS
from tests.messaging.config_harness import ConfigHarness, answer
from tests.messaging.config_link.config_states import APPLIED, PENDING, REJECTED, is_state
from tests.support.protocol_harness import OTHER_VIN, VIN, Car, Clock, signer


async def test_a_change_reaches_the_vehicle_signed_and_its_answer_comes_back(
    service: ConfigHarness, car: Car
) -> None:
    await service.change("c-1", auto_lock_delay_seconds=60)

    told, request_hash = await service.accepted(car)
    assert (told.version, told.settings.auto_lock_delay_seconds) == (1, 60)

    await service.publish(EventKind.CONFIG, answer(car, "m-1", request_hash, 1).data)
    config = await service.until(is_state(APPLIED))
    assert config.applied_version == 1


async def test_a_rejection_says_why(service: ConfigHarness, car: Car) -> None:
    await service.change("c-1", auto_lock_delay_seconds=60)
    _, request_hash = await service.accepted(car)

    await service.publish(EventKind.CONFIG, answer(car, "m-1", request_hash, 1, "no such lock").data)

    config = await service.until(is_state(REJECTED))
    # What runs is shown, and not what was refused.
    assert (config.rejection, config.settings.auto_lock_delay_seconds) == ("no such lock", 30)


async def test_a_hello_that_is_behind_is_answered_once_however_often_it_comes(
    service: ConfigHarness, car: Car
) -> None:
    await service.change("c-1", child_lock_enabled=True)
    await service.queued(1)  # lost in the car

    await service.greet(car, "m-1", 0, times=3)
    told, request_hash = await service.accepted(car)
    await service.greet(car, "m-2", 1)
    await service.until(is_state(APPLIED))

    assert told.version == 1
    assert (
        await service.ever_published() == 2
    )  # the change and the answer to the hello; nothing else was ever sent
    await service.publish(EventKind.CONFIG, answer(car, "m-3", request_hash, 1).data)
    await service.greet(car, "m-4", 1)


async def test_settings_for_a_vehicle_that_never_said_hello_wait_for_its_hello(
    running: ConfigHarness, car: Car
) -> None:
    await running.change("c-1", child_lock_enabled=True)
    await running.until_dealt_with()
    assert await running.ever_published() == 0

    await running.greet(car, "m-1", 0)

    told, _ = await running.accepted(car)
    assert (told.version, len(running.signer.signed)) == (1, 1)


async def test_the_settings_days_later_carry_the_same_proof(
    service: ConfigHarness, car: Car, clock: Clock
) -> None:
    await service.change("c-1", child_lock_enabled=True)
    await service.queued(1)  # lost in the car
    clock.advance(3 * 86_400)
    car.boot()

    await service.greet(car, "m-1", 0)

    told, _ = await service.accepted(car)
    assert told.version == 1


async def test_garbage_and_forgeries_are_kept_aside_and_block_nothing(
    service: ConfigHarness, car: Car, other: Car
) -> None:
    await service.change("c-1", child_lock_enabled=True)
    _, request_hash = await service.accepted(car)
    impostor = Car(VIN, car.clock)
    impostor.signer = signer("somebody else")
    impostor.boot()

    await service.publish(EventKind.HELLO, b"\xff\xfe")
    await service.publish(EventKind.HELLO, service.hello(impostor, "m-1", 1))
    await service.publish(EventKind.CONFIG, service.hello(car, "m-2", 1))
    await service.publish(EventKind.HELLO, service.hello(other, "m-3", 1))
    await service.publish(EventKind.HELLO, service.hello(car, "m-4", -1))
    await service.publish(EventKind.CONFIG, answer(other, "m-5", request_hash, 1).data)
    await service.publish(EventKind.CONFIG, answer(car, "m-6", bytes(32), 1).data)
    await service.publish(EventKind.CONFIG, answer(impostor, "m-7", request_hash, 1).data)

    letters = await service.letters(8)
    reasons = sorted(letter.reason.partition(":")[0] for letter in letters)
    assert reasons == [
        "BAD_SIGNATURE",
        "MALFORMED",
        "NOT_FOR_US",
        "NOT_FOR_US",
        "UNKNOWN_KEY",
        "UNKNOWN_KEY",
        "WRONG_REQUEST",
        "config version -1",
    ]
    config = await service.record.find(VIN)
    assert config is not None
    assert config.state is PENDING
    await service.greet(car, "m-8", 1)
    await service.until(is_state(APPLIED))


async def test_another_cars_answer_to_this_order_is_not_believed(
    service: ConfigHarness, car: Car, other: Car
) -> None:
    await service.until_greeted(other)
    await service.change("c-1", child_lock_enabled=True)
    await service.change("c-2", vin=OTHER_VIN, child_lock_enabled=True)
    _, request_hash = await service.accepted(car)

    # Signed by the other car, about itself, but naming the request of the first.
    await service.publish(EventKind.CONFIG, answer(other, "m-1", request_hash, 1).data, OTHER_VIN)

    (letter,) = await service.letters(1)
    assert letter.reason.startswith("WRONG_REQUEST")
    assert (await service.until(lambda _: True, OTHER_VIN)).state is PENDING


async def test_an_answer_is_taken_in_once(service: ConfigHarness, car: Car) -> None:
    await service.change("c-1", child_lock_enabled=True)
    _, first = await service.accepted(car)
    rejection = answer(car, "m-1", first, 1, "not now").data
    await service.publish(EventKind.CONFIG, rejection)
    await service.until(is_state(REJECTED))
    await service.change("c-2", child_lock_enabled=False)
    _, second = await service.accepted(car)

    await service.publish(EventKind.CONFIG, rejection, times=2)
    await service.publish(
        EventKind.CONFIG, answer(car, "m-1", second, 2, "signed again under the same id").data
    )
    await service.publish(EventKind.CONFIG, b"the end")

    (letter,) = await service.letters(1)  # a repetition is no poison
    assert letter.payload == b"the end"
    assert (await service.until(lambda _: True)).state is PENDING


async def test_an_answer_before_the_hello_of_its_epoch_waits_for_it(service: ConfigHarness, car: Car) -> None:
    await service.change("c-1", child_lock_enabled=True)
    _, request_hash = await service.accepted(car)
    car.boot()

    await service.publish(EventKind.CONFIG, answer(car, "m-1", request_hash, 1).data)
    await service.greet(car, "m-2", 0)

    await service.until(is_state(APPLIED))


async def test_a_vehicle_that_rebooted_gets_the_settings_again_for_its_new_epoch(
    service: ConfigHarness, car: Car
) -> None:
    await service.change("c-1", child_lock_enabled=True)
    (for_the_old,) = await service.queued(1)
    car.boot()
    refused = car.receive(for_the_old, Domain.CONFIG)
    assert isinstance(refused, RefusedOrder)
    assert refused.fault.name == "WRONG_EPOCH"
    assert refused.answer is not None

    await service.publish(EventKind.CONFIG, refused.answer.data, times=2)

    told, request_hash = await service.accepted(car)
    assert told.version == 1
    await service.publish(EventKind.CONFIG, answer(car, "m-1", request_hash, 1).data)
    await service.until(is_state(APPLIED))
    assert await service.ever_published() == 2


async def test_a_vehicle_that_is_always_out_of_step_does_not_keep_everybody_busy(
    service: ConfigHarness, car: Car
) -> None:
    await service.change("c-1", child_lock_enabled=True)
    for _ in range(MOST_RESENDS + 1):
        (data,) = await service.queued(1)
        car.boot()
        refused = car.receive(data, Domain.CONFIG)
        assert isinstance(refused, RefusedOrder)
        assert refused.answer is not None
        await service.publish(EventKind.CONFIG, refused.answer.data)

    await service.publish(EventKind.CONFIG, b"the end")
    await service.letters(1)
    await service.until_dealt_with()
    assert await service.ever_published() == MOST_RESENDS + 1

    await service.greet(car, "m-1", 0)
    told, _ = await service.accepted(car)
    assert told.version == 1


async def test_what_was_said_while_the_room_was_down_is_heard(
    idle: tuple[ConfigHarness, ConfigHarness], car: Car
) -> None:
    before, after = idle
    before.run()
    await before.until_greeted(car)
    await before.change("c-1", child_lock_enabled=True)
    _, request_hash = await before.accepted(car)
    await before.crash()
    await before.broker.close()
    await after.publish(EventKind.CONFIG, answer(car, "m-1", request_hash, 1).data)

    after.run()

    await after.until(is_state(APPLIED))


async def test_a_change_made_while_the_broker_is_away_reaches_the_vehicle(
    service: ConfigHarness, car: Car, nats_server: Any
) -> None:
    back = asyncio.Event()

    async def notice() -> None:
        back.set()

    await service.broker.at_every_connect(notice)
    back.clear()
    nats_server.kill()
    await service.change("c-1", child_lock_enabled=True)

    nats_server.start()
    await asyncio.wait_for(back.wait(), 60)

    told, _ = await service.accepted(car)
    assert told.settings.child_lock_enabled


async def test_a_hello_that_answers_somebody_elses_challenge_is_no_poison(
    service: ConfigHarness, car: Car
) -> None:
    words = report_pb2.Hello(boot_id="boot", config_version=0)

    await service.publish(EventKind.HELLO, car.side.seal_hello(words, "m-1", bytes(16)))
    await service.publish(EventKind.HELLO, b"the end")

    (letter,) = await service.letters(1)
    assert letter.payload == b"the end"
