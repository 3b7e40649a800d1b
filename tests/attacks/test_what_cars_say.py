"""A car with its keys says what no good car would: numbers at their ends, faults nobody knows, times beyond all time,
epochs that never were, and far too much of everything. What it says of itself is its own trouble.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
import unicodedata
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2, session_pb2

from protocol.domains import Domain
from protocol.reports import HEAD
from protocol.subjects import EventKind
from protocol.vehicle_side import AcceptedOrder
from tests.attacks.people import owner_of
from tests.attacks.sandbox import bytes_on_the_brokers_disk, dead_letter_bytes, outbox_rows
from tests.support.app import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.attacks.bystander import BystanderProbe
    from tests.attacks.hostile_car import HostileCar, RawNats
    from tests.support.app import App
    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system

LAST_COUNTER = 2**48 - 1
NO_TIME = 2**62
MOST_TEXT = 300
MOST_ALERTS = 2_000
MEGABYTE = 1_000_000


@pytest.fixture
def mallory(mesh: Mesh, hostile_car: HostileCar) -> App:
    """Who owns the hostile car."""
    return owner_of(mesh, hostile_car.vin)


async def taken_order(car: RawNats, mallory: App) -> tuple[str, bytes]:
    """Have the owner unlock their car: the command's id, and the hash that answers to it name."""
    await car.say(EventKind.HELLO, car.car.hello())
    await car.flush()

    def ask() -> str:
        answer = eventually(
            lambda: (a := mallory.order("unlock", unlockMode="EMERGENCY")).status_code == 202 and a
        )
        return str(answer.json()["commandId"])

    command_id = await asyncio.to_thread(ask)
    for _ in range(20):
        for subject, data, reply in await car.orders():
            await car.publish(reply, b"+ACK")
            if subject.endswith(".door"):
                taken = car.car.side.open_order(Domain.COMMAND, data)
                assert isinstance(taken, AcceptedOrder), taken
                return command_id, taken.request_hash
    raise AssertionError("the car's own order never came")


def result(command_id: str, **fields: Any) -> report_pb2.CommandResult:
    made = report_pb2.CommandResult(
        command_id=command_id, outcome=report_pb2.COMMAND_OUTCOME_SUCCEEDED, **fields
    )
    made.doors.add(door=body_pb2.DOOR_ID_DRIVER, succeeded=True, locked=False)
    return made


@pytest.mark.parametrize("domain", [Domain.COMMAND, Domain.CANCEL, Domain.CONFIG])
def test_a_hello_at_the_counters_end_is_that_cars_trouble(
    bystander: BystanderProbe, hostile_car: HostileCar, mallory: App, domain: Domain
) -> None:
    async def attack() -> None:
        async with await hostile_car.connect() as car:
            await car.say(EventKind.HELLO, hostile_car.forged_hello(counters={domain.value: LAST_COUNTER}))
            await car.flush()
            await asyncio.to_thread(order_everything)
            hostile_car.new_epoch()
            extreme = hostile_car.forged_hello(
                counters={domain.value: LAST_COUNTER - 1},
                clock_millis=LAST_COUNTER,
                manifest_version=2**32 - 1,
                said_at=NO_TIME,
            )
            await car.say(EventKind.HELLO, extreme)
            await car.flush()
            await asyncio.to_thread(order_everything)

    def order_everything() -> None:
        time.sleep(0.3)  # the hello is on its way through three services; nothing outside tells when
        correlation_id = secrets.token_hex(8)
        mallory.order("lock", correlation_id=correlation_id)
        mallory.send(
            "POST", "cancel", {"correlationId": correlation_id, "reason": "Emergency stop", "force": True}
        )
        mallory.send("PUT", "config", {"autoLockEnabled": True, "autoLockDelay": secrets.randbelow(200) + 1})

    with bystander.undisturbed() as probe:
        asyncio.run(attack())
        bystander.see(probe, 4)


def test_epochs_that_never_were_hold_nobody_up(
    bystander: BystanderProbe, hostile_car: HostileCar, mallory: App
) -> None:
    async def attack() -> None:
        async with await hostile_car.connect() as car:
            command_id, request_hash = await taken_order(car, mallory)
            for number in range(2_200):
                report = HEAD + secrets.token_bytes(16) + (number + 1).to_bytes(8) + secrets.token_bytes(32)
                await car.say(EventKind.STATUS, report)
                await car.say(EventKind.DIAGNOSTICS, report)
            received = report_pb2.CommandReceived(command_id=command_id)
            for _ in range(2_500):
                epoch = secrets.token_bytes(16)
                answer = hostile_car.answer(Domain.RECEIVED, received, epoch=epoch, request_hash=request_hash)
                await car.say(EventKind.RECEIVED, answer)
            await car.flush()

    with bystander.undisturbed() as probe:
        asyncio.run(attack())
        bystander.see(probe, 6)


def test_faults_and_times_that_nobody_knows_hold_nobody_up(
    bystander: BystanderProbe, hostile_car: HostileCar, mallory: App
) -> None:
    def words(command_id: str, request_hash: bytes) -> Iterator[tuple[EventKind, bytes]]:
        for number in range(40):
            refused = session_pb2.OrderRefused(fault=1_000 + number)
            yield EventKind.RESULT, hostile_car.answer(Domain.RESULT, refused, request_hash=request_hash)
            late = result(command_id)
            late.started_at.seconds = late.finished_at.seconds = NO_TIME
            late.status.observed_at.seconds = NO_TIME
            yield EventKind.RESULT, hostile_car.answer(Domain.RESULT, late, request_hash=request_hash)
            received = report_pb2.CommandReceived(command_id=command_id)
            received.received_at.seconds = NO_TIME
            yield EventKind.RECEIVED, hostile_car.answer(Domain.RECEIVED, received, request_hash=request_hash)
            unknown = result(command_id)
            unknown.doors.add(door=1_000, fault=1_000)
            unknown.outcome = 1_000
            yield EventKind.RESULT, hostile_car.answer(Domain.RESULT, unknown, request_hash=request_hash)
            configured = report_pb2.ConfigReport(version=2**31 - 1, applied=True)
            configured.applied_at.seconds = -NO_TIME
            yield EventKind.CONFIG, hostile_car.answer(Domain.CONFIGURED, configured)
            status = report_pb2.StatusReport(
                sequence=2**64 - 1 - number, speed_kmh=float("nan"), reporting_interval_seconds=-1
            )
            status.observed_at.seconds = NO_TIME
            status.doors.add(door=1_000)
            yield EventKind.STATUS, hostile_car.side.seal_report(status).data
            check = report_pb2.DiagnosticsReport(sequence=2**64 - 1 - number)
            check.observed_at.seconds = NO_TIME
            check.components.add(component_id="x", name="x", condition=1_000, health=-5)
            yield EventKind.DIAGNOSTICS, hostile_car.side.seal_report(check).data
            yield EventKind.HELLO, hostile_car.forged_hello(said_at=NO_TIME, clock_millis=number)

    async def attack() -> None:
        async with await hostile_car.connect() as car:
            command_id, request_hash = await taken_order(car, mallory)
            for event, data in words(command_id, request_hash):
                await car.say(event, data)
            await car.flush()

    with bystander.undisturbed() as probe:
        asyncio.run(attack())
        bystander.see(probe, 6)


def test_what_a_car_sends_too_much_of_is_not_kept(
    mesh: Mesh, bystander: BystanderProbe, hostile_car: HostileCar
) -> None:
    kept, stored = dead_letter_bytes(mesh), bytes_on_the_brokers_disk(mesh)

    async def attack() -> None:
        # More than any message has, by which a car may be thrown out; then as much as the longest report may have.
        for size, number, events in (
            (100_000, 200, (EventKind.RESULT, EventKind.RECEIVED, EventKind.DIAGNOSTICS, EventKind.CONFIG)),
            (60_000, 400, (EventKind.RESULT,)),
        ):
            async with await hostile_car.connect() as car:
                for event in itertools.islice(itertools.cycle(events), number):
                    await car.say(event, secrets.token_bytes(size))
                await car.flush()

    with bystander.undisturbed() as probe:
        asyncio.run(attack())
        bystander.see(probe, 4)
    assert dead_letter_bytes(mesh) - kept < 2 * MEGABYTE
    assert bytes_on_the_brokers_disk(mesh) - stored < 20 * MEGABYTE


def test_a_hundred_thousand_alerts_reach_nobody(
    mesh: Mesh, bystander: BystanderProbe, hostile_car: HostileCar, mallory: App
) -> None:
    def checks() -> Iterator[bytes]:
        for number in range(20):
            check = report_pb2.DiagnosticsReport(boot_id="boot", sequence=number + 1)
            check.observed_at.GetCurrentTime()
            for component in range(64):
                check.components.add(
                    component_id=f"c{component}",
                    name="C",
                    condition=report_pb2.COMPONENT_CONDITION_ERROR,
                    health=1,
                    error_codes=[f"E{number}-{code}" for code in range(32)],
                )
            yield hostile_car.side.seal_report(check).data

    async def attack() -> None:
        async with await hostile_car.connect() as car:
            await car.say(EventKind.HELLO, hostile_car.hello())
            for data in checks():
                await car.say(EventKind.DIAGNOSTICS, data)
            await car.flush()

    rows = outbox_rows(mesh)
    with bystander.undisturbed() as probe:
        asyncio.run(attack())
        bystander.see(probe, 4)
        deadline = time.monotonic() + 5
        # Taken in to the last check, or dropped: whoever is over its quota is never heard of.
        while time.monotonic() < deadline and "E19-0" not in mallory.get("diagnostics").text:
            assert outbox_rows(mesh) - rows < MOST_ALERTS
            bystander.see(probe, 2)
    assert outbox_rows(mesh) - rows < MOST_ALERTS


def test_what_a_car_writes_reaches_a_person_short_and_plain(hostile_car: HostileCar, mallory: App) -> None:
    ugly = "\u202e\u2066\x1b[31m\x00\r\nCall +1 555 0100 now!\u200f" * 300

    async def attack() -> str:
        async with await hostile_car.connect() as car:
            command_id, request_hash = await taken_order(car, mallory)
            failed = report_pb2.CommandResult(
                command_id=command_id,
                outcome=report_pb2.COMMAND_OUTCOME_FAILED,
                fault=report_pb2.FAULT_CODE_ACTUATOR,
                guidance=ugly,
            )
            await car.say(
                EventKind.RESULT, hostile_car.answer(Domain.RESULT, failed, request_hash=request_hash)
            )
            check = report_pb2.DiagnosticsReport(boot_id="boot", sequence=1)
            check.observed_at.GetCurrentTime()
            check.components.add(
                component_id="c1",
                name="A\u202eB\x1b[2J",
                condition=report_pb2.COMPONENT_CONDITION_ERROR,
                health=1,
                error_codes=["E1\u202e\x07"],
            )
            await car.say(EventKind.DIAGNOSTICS, hostile_car.side.seal_report(check).data)
            await car.flush()
            return command_id

    with mallory.stream() as stream:
        command_id = asyncio.run(attack())
        ended = mallory.end_of(command_id)
        stream.wait_for(lambda event: event["data"]["data"].get("commandId") == command_id)
        shown: list[Any] = [ended, mallory.history(), mallory.get("diagnostics").json(), *stream.events]
    assert ended["status"] == "FAILED"
    for text in texts(shown):
        assert len(text) <= MOST_TEXT, text[:80]
        assert not [c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Co", "Cs"}], repr(text)


def texts(shown: Any) -> Iterator[str]:
    """Every string in an answer, however deep."""
    if isinstance(shown, str):
        yield shown
    elif isinstance(shown, dict):
        yield from texts(list(shown.values()))
    elif isinstance(shown, list):
        for each in shown:
            yield from texts(each)
