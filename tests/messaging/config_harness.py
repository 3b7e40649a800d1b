"""The config service without its server, for tests: a real broker, a fake signer and enrolment, a car with its keys."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as signing
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2_grpc as signing_stubs
from ecarus.remotecontrol.access.v1 import vehicle_keys_service_pb2 as enrolling
from ecarus.remotecontrol.access.v1 import vehicle_keys_service_pb2_grpc as enrolling_stubs
from ecarus.remotecontrol.vehicle.v1 import command_pb2, report_pb2, session_pb2
from nats.js.api import ConsumerConfig
from sqlalchemy import insert, select

from protocol.cloud_side import AnswerReader
from protocol.domains import Domain
from protocol.keys import OpenKeys
from protocol.signing import sign_order
from protocol.streams import VEHICLE_COMMANDS
from protocol.subjects import EventKind, event_subject
from protocol.vehicle_side import AcceptedOrder
from services.config.adapters import dispatch, right_link, store, translate, vehicle_link
from services.config.domain.config import ChangeRequest, DoorConfig
from services.config.domain.settings import SettingsChange
from services.platform.consumer import Consumer
from services.platform.dead_letter_keeper import DeadLetterWriter
from services.platform.outbox import OutboxRelay, OutgoingMessage
from services.platform.validation import violations_of
from services.telematics.keys import VehicleKeyDirectory
from services.telematics.order_mac import OrderMac
from services.telematics.order_signer import OrderSigningClient
from tests.support.protocol_harness import CLOUD_SEAL, CLOUD_SIGNER, OWNER, VIN, Car, Clock, public

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from protocol.vehicle_side import OutgoingEnvelope
    from services.platform.database import Database
    from services.platform.jetstream import Broker

    Context = grpc.aio.ServicerContext[Any, Any]

MAC = OrderMac(b"only in tests, and long enough for a key")
WAIT_SECONDS = 60
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FakeSigner(signing_stubs.OrderSigningServiceServicer):
    """Signs what `capabilities` prove, while their holders have the right to it.

    `end_right_of` and `away` as in the access service; what it signed is in `signed`. `meet` lets questions wait
    for each other: so many of them are answered at once.
    """

    def __init__(self) -> None:
        self.capabilities: dict[str, tuple[str, str]] = {}
        self.signed: list[session_pb2.SignedOrder] = []
        self.away = False
        self.asked = asyncio.Event()
        self._ended: set[str] = set()
        self._missing = 0
        self._met = asyncio.Event()

    def issue(self, vin: str, subject: str) -> str:
        """A capability to write this vehicle's settings, as the access service would issue."""
        token = f"capability-{len(self.capabilities)}"
        self.capabilities[token] = (vin, subject)
        return token

    def end_right_of(self, subject: str) -> None:
        self._ended.add(subject)

    def meet(self, questions: int) -> None:
        self._missing = questions
        self._met.clear()

    async def SignOrders(  # noqa: N802  # the contract's name
        self, request: signing.SignOrdersRequest, context: Context
    ) -> signing.SignOrdersResponse:
        self.asked.set()
        if self.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the access service is away")
        if violations_of(request, None):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not valid")
        self._missing -= 1
        if self._missing > 0:
            await self._met.wait()
        self._met.set()
        return signing.SignOrdersResponse(answers=[self._answer(order) for order in request.orders])

    async def ReviewOrders(  # noqa: N802  # the contract's name
        self, request: signing.ReviewOrdersRequest, context: Context
    ) -> signing.ReviewOrdersResponse:
        if self.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the access service is away")
        signed = list(self.signed)
        answers = [self._answer(signing.OrderToSign(requested=order)) for order in request.orders]
        self.signed = signed
        return signing.ReviewOrdersResponse(verdicts=[each.verdict for each in answers])

    def _answer(self, order: signing.OrderToSign) -> signing.SigningAnswer:
        requested = order.requested
        vin, subject = self.capabilities.get(requested.capability, ("", ""))
        if vin != requested.vin:
            return signing.SigningAnswer(verdict=signing.SIGNING_VERDICT_NOT_PROVEN)
        if subject in self._ended:
            return signing.SigningAnswer(verdict=signing.SIGNING_VERDICT_NOT_ALLOWED)
        message = session_pb2.SignedOrder(
            vin=vin,
            epoch=order.epoch,
            counter=order.counter,
            expires_at_millis=order.expires_at_millis,
            manifest_version=1,
            role=OWNER,
            config=requested.config,
        )
        self.signed.append(message)
        envelope = sign_order(CLOUD_SIGNER, message)
        return signing.SigningAnswer(verdict=signing.SIGNING_VERDICT_SIGNED, envelope=envelope)


class FakeEnrolment(enrolling_stubs.VehicleKeysServiceServicer):
    """Knows the keys of the cars that are enrolled."""

    def __init__(self) -> None:
        self._cars: dict[str, Car] = {}

    def enrol(self, car: Car) -> None:
        self._cars[car.vin] = car

    async def GetVehicleKeys(  # noqa: N802  # the contract's name
        self, request: enrolling.GetVehicleKeysRequest, context: Context
    ) -> enrolling.GetVehicleKeysResponse:
        if violations_of(request, None):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not valid")
        answer = enrolling.GetVehicleKeysResponse()
        for vin in request.vins:
            if vin in self._cars:
                car = self._cars[vin]
                keys = (car.signer.public_bytes, public(car.seal_key))
                answer.keys.add(vin=vin, verify_key=keys[0], seal_key=keys[1])
        return answer


@asynccontextmanager
async def serving(signer: FakeSigner, enrolment: FakeEnrolment) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to both."""
    server = grpc.aio.server()
    signing_stubs.add_OrderSigningServiceServicer_to_server(signer, server)
    enrolling_stubs.add_VehicleKeysServiceServicer_to_server(enrolment, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


class ConfigHarness:
    """`run` and `crash` its loops on one database and broker. Everybody lives by `clock`."""

    def __init__(
        self,
        database: Database,
        broker: Broker,
        channel: grpc.aio.Channel,
        signer: FakeSigner,
        clock: Clock,
    ) -> None:
        self.database = database
        self.broker = broker
        self.signer = signer
        self.clock = clock
        self.keys = VehicleKeyDirectory(channel, lambda: clock.millis / 1000)
        self.dispatcher = dispatch.ConfigDispatcher(
            broker, store.OrderStore(database), OrderSigningClient(channel), self.keys, self.now
        )
        self.relay = OutboxRelay(
            database,
            store.outbox,
            dispatch.QUEUE,
            self.dispatcher.send,
            self.now,
            ready=lambda: broker.connected,
        )
        to_services = OutboxRelay(database, store.outbox, dispatch.TO_SERVICES, broker.publish_all, self.now)
        self.record = store.ConfigStore(
            database, self.relay, dispatch.outgoing, partial(translate.stamp, MAC), translate.weakened
        )
        settings_cancellations = store.SettingsCancellationStore(
            database, dispatch.cancelled, to_services.hand_over
        )
        self.rights = right_link.ConfigRevocationHandler(
            settings_cancellations, OrderSigningClient(channel), self.now
        )
        self._to_rooms = to_services
        self._tasks: list[asyncio.Task[None]] = []

    def now(self) -> datetime:
        return _EPOCH + timedelta(milliseconds=self.clock.millis)

    def run(self) -> None:
        reader = AnswerReader(OpenKeys(CLOUD_SEAL), self.keys)
        events = vehicle_link.ConfigEventHandler(self.record, reader, self.keys, self.now)
        dead_letter_writer = DeadLetterWriter(self.database, store.dead_letters, self.now)
        consumer = Consumer(self.broker, vehicle_link.PLAN, events.handle, dead_letter_writer.dead_letter)
        rights = Consumer(self.broker, right_link.ENDED, self.rights.handle, dead_letter_writer.dead_letter)
        loops = (consumer.run(), rights.run(), self.relay.run(), self._to_rooms.run())
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    async def crash(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def publish(self, event: EventKind, data: bytes, vin: str = VIN, times: int = 1) -> None:
        for _ in range(times):
            await self.broker.jetstream.publish(event_subject(vin, event), data)

    async def greet(self, car: Car, message_id: str, version: int, times: int = 1) -> None:
        """The car says hello."""
        await self.publish(EventKind.HELLO, self.hello(car, message_id, version), car.vin, times)

    def hello(self, car: Car, message_id: str, version: int) -> bytes:
        words = report_pb2.Hello(boot_id="boot", agent_version="1", config_version=version)
        words.said_at.FromDatetime(self.now())
        return car.side.seal_hello(words, message_id)

    async def until_greeted(self, car: Car) -> None:
        """The car said hello, and the service has its session."""
        await self.greet(car, f"first-{car.vin}-{car.boots}", 0)
        async with asyncio.timeout(WAIT_SECONDS):
            while not await self._knows(car):  # noqa: ASYNC110  # a consumer decides; it sets no event here
                await asyncio.sleep(0.01)

    async def _knows(self, car: Car) -> bool:
        session = await self.database.read(lambda c: store.sessions.store(c).load(car.vin))
        return session is not None and session.epoch == car.epoch

    async def change(
        self, correlation_id: str, subject: str = "user-123", vin: str = VIN, **settings: Any
    ) -> DoorConfig:
        capability = self.signer.issue(vin, subject)
        wish = SettingsChange(**settings)
        request = ChangeRequest(
            vin, wish, subject, subject, "MOBILE_APP", correlation_id, capability, may_weaken=True
        )
        return await self.record.change(request, self.now())

    async def put(self, message: OutgoingMessage) -> None:
        """Into the outbox, as nobody but this service should."""
        row = {
            "message_id": message.message_id,
            "queue": message.queue,
            "subject": message.subject,
            "payload": message.payload,
            "created_at": message.created_at,
        }
        await self.database.write(lambda c: c.execute(insert(store.outbox.table), row) and None)
        self.relay.hand_over([message])

    async def until(self, holds: Callable[[DoorConfig], bool], vin: str = VIN) -> DoorConfig:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                config = await self.record.find(vin)
                if config is not None and holds(config):
                    return config
                await asyncio.sleep(0.01)

    async def letters(self, count: int) -> Sequence[Any]:
        """What was dead-lettered, once it is so many: poison becomes a dead letter after the rest of its batch
        is kept.
        """
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                rows = await self.database.read(lambda c: c.execute(select(store.dead_letters.table)).all())
                if len(rows) >= count:
                    return rows
                await asyncio.sleep(0.01)

    async def until_dealt_with(self) -> None:
        """Nothing waits in the outbox."""
        table = store.outbox.table
        query = select(table.c.message_id).where(table.c.sent_at.is_(None))
        async with asyncio.timeout(WAIT_SECONDS):
            while await self.database.read(lambda c: c.execute(query).all()):  # noqa: ASYNC110  # as above
                await asyncio.sleep(0.01)

    async def queued(self, count: int, vin: str = VIN) -> list[bytes]:
        """What a vehicle would pull from its queue."""
        config = ConsumerConfig(
            durable_name=vin, filter_subject=f"vehicle.{vin}.cmd.*", inactive_threshold=30
        )
        await self.broker.jetstream.add_consumer(VEHICLE_COMMANDS, config)
        pull = await self.broker.jetstream.pull_subscribe_bind(vin, VEHICLE_COMMANDS)
        told: list[bytes] = []
        async with asyncio.timeout(WAIT_SECONDS):
            while len(told) < count:
                for message in await pull.fetch(count - len(told), timeout=30):
                    assert message.subject == f"vehicle.{vin}.cmd.config"
                    told.append(message.data)
                    await message.ack()
        return told

    async def accepted(self, car: Car) -> tuple[command_pb2.ApplyConfig, bytes]:
        """The next settings in the car's queue, which it accepts; and their hash."""
        (data,) = await self.queued(1, car.vin)
        opened = car.receive(data, Domain.CONFIG)
        assert isinstance(opened, AcceptedOrder), opened
        assert isinstance(opened.order, command_pb2.ApplyConfig)
        return opened.order, opened.request_hash

    async def ever_published(self) -> int:
        """How many orders ever reached the broker."""
        info = await self.broker.jetstream.stream_info(VEHICLE_COMMANDS)
        return int(info.state.last_seq)


def answer(
    car: Car, message_id: str, request_hash: bytes, version: int, reason: str = ""
) -> OutgoingEnvelope:
    """The car's signed response on settings; with a reason, that it did not apply them."""
    report = report_pb2.ConfigReport(version=version, applied=not reason, reason=reason)
    report.applied_at.FromDatetime(_EPOCH + timedelta(milliseconds=car.clock.millis))
    return car.side.seal_answer(message_id, request_hash, report)
