"""A vehicle that carries out each command once, over NATS and in the signed protocol."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import nats
from ecarus.remotecontrol.vehicle.v1 import command_pb2, report_pb2, session_pb2
from nats.errors import Error as NatsError

from protocol.domains import Domain
from protocol.streams import VEHICLE_COMMANDS
from protocol.subjects import EventKind, event_subject
from protocol.vehicle_side import AcceptedOrder, KnownOrder, RefusedOrder
from tests.support.protocol_harness import Car

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from protocol.vehicle_side import Answer

VIN = "KMHSH81C7LU123456"


class WallClock:
    """tests.support.protocol_harness.Clock in real time."""

    @property
    def millis(self) -> int:
        return time.time_ns() // 1_000_000

    def now_seconds(self) -> int:
        return self.millis // 1_000


@dataclass(slots=True)
class FakeVehicle:
    """Carries out each command once, while awake. `actuated` is what it did, in order.

    `hold` keeps it from finishing: it confirms a command and waits, so that it can be cancelled.
    """

    server: Any
    vin: str = VIN
    actuated: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    hold: bool = False
    challenged: int = 0
    told: list[session_pb2.RefusedReport] = field(default_factory=list)
    """What the cloud said that it did not take."""
    greeted: asyncio.Event = field(default_factory=asyncio.Event)
    """It said hello, and found its queue."""
    car: Car = field(init=False)
    _results: dict[str, report_pb2.CommandResult] = field(default_factory=dict)
    _running: dict[str, tuple[command_pb2.DoorCommand, bytes]] = field(default_factory=dict)
    _drop: int = 0
    _duplicate: int = 0
    _client: Client | None = None
    _loop: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.car = Car(self.vin, WallClock())  # type: ignore[arg-type]  # as much of a clock as a car needs
        self.reboot()

    def reboot(self) -> None:
        """A new epoch, also when another test's car of this VIN was there before."""
        self.car.boots = uuid.uuid4().int
        self.car.boot()

    def drop_next(self) -> None:
        self._drop += 1

    def duplicate_next(self) -> None:
        self._duplicate += 1

    async def wake(self) -> None:
        settings = self.server.settings()
        self._client = await nats.connect(
            self.server.url,
            user=settings.nats_user,
            password=settings.nats_password_file.read_text(),
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.1,
        )
        self._loop = asyncio.create_task(self._live(self._client))

    async def sleep(self) -> None:
        if self._loop is not None and self._client is not None:
            while not self._loop.done():
                # Asked again: Python 3.11's wait_for, in the client, drops a cancellation that meets its answer.
                self._loop.cancel()
                await asyncio.wait([self._loop], timeout=0.1)
            await self._client.close()
            self._loop = self._client = None
            self.greeted.clear()

    async def answer(self, answer: Answer, request_hash: bytes, message_id: str | None = None) -> bytes:
        """Says it, signed and sealed; what was published."""
        outgoing = self.car.side.seal_answer(message_id or uuid.uuid4().hex, request_hash, answer)
        await self.say_bytes(EventKind(outgoing.domain.value.rpartition(".")[2]), outgoing.data)
        return outgoing.data

    async def say_bytes(self, event: EventKind, data: bytes) -> None:
        assert self._client is not None
        await self._client.jetstream().publish(event_subject(self.vin, event), data, timeout=10)

    def request_hash(self, command_id: str) -> bytes:
        """Of a command it has not finished."""
        return self._running[command_id][1]

    async def finish(self, command_id: str, outcome: int = report_pb2.COMMAND_OUTCOME_SUCCEEDED) -> None:
        order, request_hash = self._running.pop(command_id)
        result = report_pb2.CommandResult(command_id=command_id, outcome=outcome)  # type: ignore[arg-type]  # its number
        if outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED:
            self.actuated.append(command_id)
            for door in order.doors or (1, 2, 3, 4, 5):
                result.doors.add(
                    door=door, succeeded=True, locked=order.action == command_pb2.DOOR_ACTION_LOCK
                )
        self._results[command_id] = result
        data = await self.answer(result, request_hash)
        for _ in range(self._duplicate):
            await self.say_bytes(EventKind.RESULT, data)
        self._duplicate = 0

    async def _live(self, client: Client) -> None:
        queue = await client.jetstream().pull_subscribe_bind(consumer=self.vin, stream=VEHICLE_COMMANDS)
        greet = True
        while True:
            try:
                if greet:
                    await self.greet()
                    greet = False
                if not self.greeted.is_set():
                    await queue.consumer_info()
                    self.greeted.set()
                for message in await queue.fetch(16, timeout=0.5):
                    await self._take(message)
            except TimeoutError:
                try:
                    await queue.consumer_info()
                except (NatsError, TimeoutError):
                    greet = True
            except NatsError:
                greet = True
                await asyncio.sleep(0.05)

    async def greet(self, challenge: bytes = b"") -> None:
        hello = report_pb2.Hello(boot_id=self.car.epoch.hex(), agent_version="1")
        await self.say_bytes(EventKind.HELLO, self.car.side.seal_hello(hello, uuid.uuid4().hex, challenge))

    async def _take(self, message: Msg) -> None:
        domain = Domain("cmd." + message.subject.rpartition(".")[2])
        if domain is Domain.CHALLENGE:
            self.challenged += 1
            request = self.car.side.open_session_request(message.data)
            self.told += request.refused
            await self.greet(request.challenge)
        elif domain is Domain.KEYS:
            self.car.side.open_manifest(message.data)
        elif self._drop:
            self._drop -= 1
        else:
            await self._obey(domain, message.data)
        await message.ack()

    async def _obey(self, domain: Domain, data: bytes) -> None:
        opened = self.car.side.open_order(domain, data)
        if isinstance(opened, RefusedOrder):
            self.faults.append(opened.fault.name)
            if opened.answer is not None:
                event = EventKind(opened.answer.domain.value.rpartition(".")[2])
                await self.say_bytes(event, opened.answer.data)
        elif isinstance(opened.order, command_pb2.DoorCommand):
            await self._carry_out(opened, opened.order)
        elif isinstance(opened, AcceptedOrder) and isinstance(opened.order, command_pb2.CancelCommand):
            self.car.known.add((domain, opened.order_id))
            await self._cancel(opened, opened.order)

    async def _carry_out(self, opened: AcceptedOrder | KnownOrder, order: command_pb2.DoorCommand) -> None:
        if isinstance(opened, KnownOrder):
            if order.command_id in self._results:
                await self.answer(self._results[order.command_id], opened.request_hash)
            return
        self.car.known.add((Domain.COMMAND, order.command_id))
        received = report_pb2.CommandReceived(command_id=order.command_id)
        await self.answer(received, opened.request_hash)
        self._running[order.command_id] = order, opened.request_hash
        if not self.hold:
            await self.finish(order.command_id)

    async def _cancel(self, opened: AcceptedOrder, order: command_pb2.CancelCommand) -> None:
        if order.command_id in self._results:
            outcome = report_pb2.CANCEL_OUTCOME_TOO_LATE
        else:
            outcome = report_pb2.CANCEL_OUTCOME_WILL_NOT_ACT
            self._running.setdefault(order.command_id, (command_pb2.DoorCommand(), opened.request_hash))
            await self.finish(order.command_id, report_pb2.COMMAND_OUTCOME_CANCELLED)
        decided = report_pb2.CancelResult(
            cancel_id=order.cancel_id, command_id=order.command_id, outcome=outcome
        )
        await self.answer(decided, opened.request_hash)


def keys_of(vin: str) -> tuple[bytes, bytes]:
    """The public keys that a FakeVehicle of this VIN is enrolled with: Ed25519 and X25519."""
    car = Car(vin, WallClock())  # type: ignore[arg-type]  # as above
    return car.signer.public_bytes, car.seal_key.public_key().public_bytes_raw()
