"""Whatever a vehicle says, with its own keys or without: no handler raises, and the other vehicle is heard."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.vehicle.v1 import report_pb2, session_pb2

import services.command
import services.config
import services.diagnostics
import services.status
from protocol.cloud_side import AnswerReader, IssuedOrder
from protocol.domains import ANSWER_FIELDS, ContentType, Domain
from protocol.keys import OpenKeys
from protocol.subjects import EventKind, event_subject
from services.command.adapters import store as command_store
from services.command.adapters.outbox_messages import CommandOutboxMessages
from services.command.adapters.shown_results import ShownResults
from services.command.adapters.vehicle_link import CommandEventHandler as CommandEvents
from services.command.domain.rules import Rules
from services.command.usecases.ports import CommandDependencies
from services.config.adapters import dispatch as config_dispatch
from services.config.adapters import store as config_store
from services.config.adapters import translate as config_translate
from services.config.adapters.vehicle_link import ConfigEventHandler as ConfigEvents
from services.diagnostics.adapters import store as diagnostics_store
from services.diagnostics.adapters import vehicle_link as diagnostics_link
from services.platform.consumer import Delivery
from services.platform.database import open_database
from services.platform.outbox import OutboxRelay
from services.status.adapters import store as status_store
from services.status.adapters import translate as status_translate
from services.status.adapters.model_limits import ModelLimits
from services.status.adapters.vehicle_link import VehicleIntake
from services.status.usecases.advisories import AdvisoryFilter
from services.telematics import rules as vehicle_rules
from services.vehicle_models.catalogue import VehicleModels
from tests.support.command_store_harness import MAC, START, FakeConditions, FakeDispatch, FakeKnownVehicles
from tests.support.databases import migrated
from tests.support.nonsense import fill, source, spoil
from tests.support.protocol_harness import CLOUD_SEAL, OTHER_VIN, VIN, Car, succeeded
from tests.support.report_harness import Fleet

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from google.protobuf.message import Message

    from protocol.session import CloudSession
    from services.platform.consumer import Unhandled
    from services.platform.database import Database

    Handle = Callable[[Sequence[Delivery]], Awaitable[Sequence[Unhandled]]]

ROUNDS = 150
BATCH = 8
KINDS = {
    Domain.RECEIVED: lambda: report_pb2.CommandReceived(command_id="cmd-1"),
    Domain.RESULT: lambda: succeeded("cmd-1"),
    Domain.CANCELLED: lambda: report_pb2.CancelResult(cancel_id="can-1", command_id="cmd-1", outcome=1),
    Domain.CONFIGURED: lambda: report_pb2.ConfigReport(version=1, applied=True),
}
ORDERS = {Domain.RECEIVED: Domain.COMMAND, Domain.RESULT: Domain.COMMAND, Domain.CANCELLED: Domain.CANCEL}
HASH = bytes(range(32))


async def send_nothing(_messages: object) -> list[bool]:
    raise AssertionError("no relay runs here")


class FakeBroker:
    """Takes everything."""

    def __init__(self) -> None:
        self.jetstream = self

    async def add_consumer(self, *_arguments: object) -> None:
        return

    async def publish_all(self, messages: Sequence[object]) -> list[bool]:
        return [True] * len(messages)


class NoManifests:
    async def bring(self, *_arguments: object) -> None:
        return


class Liar:
    """A car that says nonsense, under its own keys or none."""

    def __init__(self, car: Car, rnd: random.Random) -> None:
        self.car, self.rnd = car, rnd
        self.counter = 0

    def says(self, domain: Domain) -> Delivery:
        subject = event_subject(self.car.vin, EventKind(domain.value.removeprefix("evt.")))
        if self.rnd.random() < 0.15:
            return Delivery(subject, self.rnd.randbytes(self.rnd.choice((0, 1, 20, 200, 20_000))))
        if domain is Domain.HELLO:
            return Delivery(subject, self._signed(domain, ContentType.SESSION, self._hello()))
        if domain in ANSWER_FIELDS:
            return Delivery(subject, self._signed(domain, *self._answer(domain)))
        return Delivery(subject, self.car.side._reports.seal(domain, self._bytes(self._report(domain))))

    def _bytes(self, message: Message) -> bytes:
        data = message.SerializeToString()
        return data[:15_000] if self.rnd.random() < 0.95 else data[: len(data) // 2]

    def _signed(self, domain: Domain, content_type: str, message: Message) -> bytes:
        return self.car.side._sealed(domain, content_type, self._bytes(message))

    def _hello(self) -> Message:
        info = self.car.side._session_info("hello")
        info.hello.CopyFrom(report_pb2.Hello(boot_id="boot", agent_version="1"))
        info.hello.said_at.FromDatetime(START)
        return fill(info, self.rnd) if self.rnd.random() < 0.2 else spoil(info, self.rnd)

    def _answer(self, domain: Domain) -> tuple[str, Message]:
        self.counter += 1
        field, content_type = ANSWER_FIELDS[domain]
        message = session_pb2.SignedAnswer(
            vin=self.car.vin,
            message_id=f"m-{self.counter}",
            epoch=self.car.epoch,
            counter=self.counter,
            request_hash=bytes([list(KINDS).index(domain)]) + HASH[1:],
        )
        if self.rnd.random() < 0.3:
            message.refused.fault = self.rnd.choice((0, 1, 11, 14, 15, 19, 99, -1, 2**31 - 1))  # type: ignore[assignment]  # any number
            message.refused.session.CopyFrom(self.car.side._session_info("again"))
            content_type = ContentType.FAULT
        else:
            getattr(message, field).CopyFrom(KINDS[domain]())
            if domain is Domain.RESULT:
                message.result.status.CopyFrom(self._report(Domain.STATUS))
                message.result.finished_at.FromDatetime(START)
        if self.rnd.random() < 0.5:
            spoil(getattr(message, message.WhichOneof("answer") or field), self.rnd)
        elif self.rnd.random() < 0.5:
            spoil(message, self.rnd)
        return content_type, message

    def _report(self, domain: Domain) -> Message:
        report: Any = report_pb2.StatusReport(boot_id="boot", sequence=self.counter)
        if domain is Domain.DIAGNOSTICS:
            report = report_pb2.DiagnosticsReport(boot_id="boot", sequence=self.counter)
            report.components.add(component_id="a", name="A", condition=1, health=100)
        else:
            report.doors.add(door=1)
        report.observed_at.FromDatetime(START)
        return fill(report, self.rnd) if self.rnd.random() < 0.2 else spoil(report, self.rnd)


class NonsenseHarness:
    """One service's handlers, with the domains that each hears."""

    def __init__(self, database: Database, handlers: dict[tuple[Domain, ...], Handle], sessions: Any) -> None:
        self.database = database
        self.handlers = handlers
        self.sessions = sessions

    async def session(self, vin: str) -> CloudSession | None:
        return (await self.database.read(lambda c: self.sessions.find_all(c, [vin]))).get(vin)


async def ask_nobody(_vin: str) -> None:
    """Nothing leaves here."""


def command_room(database: Database, fleet: Fleet) -> NonsenseHarness:
    commands = command_store.SqlCommands(database)
    rules: Any = Rules(None, 5, None)  # type: ignore[arg-type]  # nothing is asked here
    deps = CommandDependencies(
        commands,
        CommandOutboxMessages(MAC),
        lambda _: None,
        FakeDispatch(),
        FakeConditions(),
        FakeKnownVehicles(),
        VehicleModels(),
        rules,
        lambda: START,
    )
    reader = AnswerReader(OpenKeys(CLOUD_SEAL), fleet.directory, vehicle_rules.check)
    events = CommandEvents(
        deps,
        FakeBroker(),  # type: ignore[arg-type]  # the fake
        fleet.directory,  # type: ignore[arg-type]  # the fake
        reader,
        NoManifests(),  # type: ignore[arg-type]  # the fake
        lambda _vin, _at: None,
        ShownResults(lambda: fleet.clock.now_millis() * 1_000, patience_seconds=0),
        fleet.clock.now_millis,
        ask=ask_nobody,
    )
    return NonsenseHarness(database, {(Domain.HELLO, *KINDS): events.handle}, command_store.tables.sessions)


def config_room(database: Database, fleet: Fleet) -> NonsenseHarness:
    relay = OutboxRelay(database, config_store.outbox, config_dispatch.QUEUE, send_nothing, lambda: START)
    record = config_store.ConfigStore(
        database,
        relay,
        config_dispatch.outgoing,
        partial(config_translate.stamp, MAC),
        config_translate.weakened,
    )
    reader = AnswerReader(OpenKeys(CLOUD_SEAL), fleet.directory, vehicle_rules.check)
    events = ConfigEvents(record, reader, fleet.directory, lambda: START)  # type: ignore[arg-type]  # the fake
    return NonsenseHarness(
        database, {(Domain.HELLO, Domain.CONFIGURED): events.handle}, config_store.tables.sessions
    )


def status_room(database: Database, fleet: Fleet) -> NonsenseHarness:
    relay = OutboxRelay(database, status_store.outbox, status_translate.QUEUE, send_nothing, lambda: START)
    records = status_store.StatusStore(database, relay, status_translate)
    reader = fleet.reader(Domain.STATUS, database, status_store.sessions)
    hellos = fleet.hellos(database, status_store.sessions, reader)
    intake = VehicleIntake(
        records,
        AdvisoryFilter(lambda _: None, lambda: 0.0),
        reader,
        fleet.answers,
        fleet.directory,  # type: ignore[arg-type]  # the fake
        hellos,
        lambda _: None,
        lambda: round(START.timestamp() * 1_000_000),
        limits=ModelLimits(VehicleModels()),
    )
    handlers: dict[tuple[Domain, ...], Handle] = {
        (Domain.HELLO,): hellos.handle,
        (Domain.RESULT,): intake.take_results,
        (Domain.STATUS,): intake.take_statuses,
    }
    return NonsenseHarness(database, handlers, status_store.sessions)


def diagnostics_room(database: Database, fleet: Fleet) -> NonsenseHarness:
    relay = OutboxRelay(
        database, diagnostics_store.outbox, diagnostics_link.QUEUE, send_nothing, lambda: START
    )
    record = diagnostics_store.DiagnosisStore(database, relay, diagnostics_link.outgoing, lambda: START)
    reader = fleet.reader(Domain.DIAGNOSTICS, database, diagnostics_store.sessions)
    hellos = fleet.hellos(database, diagnostics_store.sessions, reader)
    reports = diagnostics_link.VehicleReports(record, reader, lambda: START)
    handlers: dict[tuple[Domain, ...], Handle] = {
        (Domain.HELLO,): hellos.handle,
        (Domain.DIAGNOSTICS,): reports.handle,
    }
    return NonsenseHarness(database, handlers, diagnostics_store.sessions)


SERVICES = {
    "command": (services.command, command_store, command_room),
    "config": (services.config, config_store, config_room),
    "status": (services.status, status_store, status_room),
    "diagnostics": (services.diagnostics, diagnostics_store, diagnostics_room),
}


@pytest.fixture(params=SERVICES)
async def service(
    request: pytest.FixtureRequest, database_url: str, fleet: Fleet
) -> AsyncIterator[NonsenseHarness]:
    package, store, make = SERVICES[request.param]
    await asyncio.to_thread(
        migrated, database_url, Path(package.__file__).with_name("migrations"), store.HEAD
    )
    database = await open_database(database_url)
    yield make(database, fleet)
    await database.close()


@pytest.fixture
def fleet() -> Fleet:
    made = Fleet()
    made.answers = AnswerReader(OpenKeys(CLOUD_SEAL), made.directory, vehicle_rules.check)
    return made


async def begin(service: NonsenseHarness, fleet: Fleet) -> None:
    """Both cars said hello, and were given one order of each kind."""
    hello = next(handle for domains, handle in service.handlers.items() if Domain.HELLO in domains)
    for car in fleet.cars.values():
        assert not await hello([Delivery(event_subject(car.vin, EventKind.HELLO), car.hello())])
    if service.sessions._issued is None:
        return
    now = fleet.clock.now_millis()

    def issue(connection: Any) -> None:
        store = service.sessions.store(connection)
        for index, domain in enumerate(KINDS):
            ordered = ORDERS.get(domain, Domain.CONFIG)
            order_id = {Domain.COMMAND: "cmd-1", Domain.CANCEL: "can-1"}.get(ordered, "1")
            store.remember(IssuedOrder(VIN, ordered, order_id, "cmd-1", bytes([index]) + HASH[1:], now))

    await service.database.write(issue)


async def test_no_handler_raises_whatever_a_vehicle_says(service: NonsenseHarness, fleet: Fleet) -> None:
    await begin(service, fleet)
    rnd = source(7)
    liar = Liar(fleet.cars[VIN], rnd)
    taken = refused = 0
    for number in range(ROUNDS):
        if number % 25 == 0:
            liar.car.boot()  # some of what it said is taken, and spoils its session
            hello = next(handle for domains, handle in service.handlers.items() if Domain.HELLO in domains)
            await hello([Delivery(event_subject(VIN, EventKind.HELLO), liar.car.hello())])
            liar.counter = 0
        for domains, handle in service.handlers.items():
            said = [liar.says(rnd.choice(domains)) for _ in range(BATCH)]
            left = await handle(said)
            refused += len(left)
            taken += len(said) - len(left)
    assert taken > 20
    assert refused > 200

    other = fleet.cars[OTHER_VIN]
    before = await service.session(OTHER_VIN)
    other.boot()
    for domains, handle in service.handlers.items():
        if Domain.HELLO in domains:
            assert not await handle([Delivery(event_subject(OTHER_VIN, EventKind.HELLO), other.hello())])
    after = await service.session(OTHER_VIN)
    assert before is not None
    assert after is not None
    assert (before.epoch, after.epoch) == (before.epoch, other.epoch)
