"""A unit in few lines, over NATS: right in all that its tests look at, but for the one defect it is given."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from typing import TYPE_CHECKING, Any

import nats
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from ecarus.remotecontrol.vehicle.v1 import body_pb2, command_pb2, report_pb2
from nats.errors import Error as NatsError

from protocol.domains import Domain
from protocol.faults import Fault, MessageRefusedError
from protocol.keys import KeySigner, OpenKeys
from protocol.manifest import Trust
from protocol.session import VehicleSession
from protocol.streams import VEHICLE_COMMANDS
from protocol.subjects import EventKind, event_subject
from protocol.vehicle_side import AcceptedOrder, KnownOrder, OutgoingEnvelope, RefusedOrder, VehicleSide

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.msg import Msg

    from conformance.keys import KitCloudKeys
    from conformance.link import BrokerLogin

VIN = "KMHSH81C7LU123456"
DOORS = (body_pb2.DOOR_ID_DRIVER, body_pb2.DOOR_ID_PASSENGER)
BUDGET = 5
BUDGET_SECONDS = 0.05


class _Session(VehicleSession):
    """Heeds everything but what the defect names."""

    def __init__(self, epoch: bytes, clock_millis: Callable[[], int], defect: str) -> None:
        super().__init__(epoch, clock_millis)
        self._defect = defect

    def check_epoch(self, epoch: bytes) -> None:
        if self._defect != "ignores epoch":
            super().check_epoch(epoch)

    def check_expiry(self, domain: Domain, expires_at_millis: int) -> None:
        if self._defect != "ignores expiry":
            super().check_expiry(domain, expires_at_millis)

    def spend(self, domain: Domain, counter: int) -> None:
        if self._defect != "ignores counters":
            super().spend(domain, counter)


class _Side(VehicleSide):
    """See _Session."""

    defect = ""

    def _verify(self, signed: Any, domain: Domain) -> None:
        if self.defect != "ignores signatures":
            super()._verify(signed, domain)


class SmallUnit:
    """`defect` is one of the names below, or empty. It is made with the first manifest of `keys`."""

    def __init__(self, account: BrokerLogin, keys: KitCloudKeys, defect: str = "") -> None:
        self._account = account
        self._defect = defect
        self._signer = KeySigner(Ed25519PrivateKey.generate())
        self._seal_key = X25519PrivateKey.generate()
        self._trust = Trust.restore(keys.all("root")[0].public_bytes, keys.endorsed(1))
        self._locked = dict.fromkeys(DOORS, True)
        self._results: dict[str, report_pb2.CommandResult] = {}
        self._cancellations: dict[str, report_pb2.CancelResult] = {}
        self._message_ids: dict[str, str] = {}
        self._spent: list[float] = []
        self._loop: asyncio.Task[None] | None = None
        self._boot()

    @property
    def public_pem(self) -> bytes:
        """To be enrolled."""
        verify = Ed25519PublicKey.from_public_bytes(self._signer.public_bytes)
        form = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return verify.public_bytes(*form) + self._seal_key.public_key().public_bytes(*form)

    def is_known(self, domain: Domain, order_id: str) -> bool:
        if self._defect == "acts twice":
            return False
        return order_id in (self._results if domain is Domain.COMMAND else self._cancellations)

    def keep_manifest(self, endorsed_by: bytes, endorsed: bytes) -> None:
        """It lives too short to need it."""

    def _boot(self) -> None:
        began = time.monotonic()
        speed = 0 if self._defect == "stops its clock" else 1_000
        self._session = _Session(
            uuid.uuid4().bytes, lambda: int((time.monotonic() - began) * speed), self._defect
        )
        keys = (self._signer, OpenKeys(self._seal_key), self._trust, self._session)
        wall: Callable[[], int] = lambda: int(time.time())  # noqa: E731
        self._report_key = X25519PrivateKey.generate()
        self._side = _Side(VIN, *keys, self._report_key, self, wall)
        self._side.defect = self._defect
        self._with_keys = keys, wall

    def start(self) -> None:
        self._loop = asyncio.create_task(self._live())

    async def stop(self) -> None:
        assert self._loop is not None
        while not self._loop.done():
            # Asked again: Python 3.11's wait_for, in the client, drops a cancellation that meets its answer.
            self._loop.cancel()
            await asyncio.wait([self._loop], timeout=0.1)
        if not self._loop.cancelled():
            self._loop.result()

    async def _live(self) -> None:
        client = await nats.connect(
            self._account.url, user=self._account.user, password=self._account.password
        )
        self._jetstream = client.jetstream()
        try:
            if self._defect != "says no hello":
                await self._greet()
            await self._report()
            queue = await self._jetstream.pull_subscribe_bind(consumer=VIN, stream=VEHICLE_COMMANDS)
            while True:
                try:
                    messages = await queue.fetch(16, timeout=0.5)
                except (NatsError, TimeoutError):  # nothing waits, or the queue is not there yet
                    await asyncio.sleep(0.01)
                    continue
                for message in messages:
                    await self._take(message)
        finally:
            await client.close()

    async def _take(self, message: Msg) -> None:
        domain = Domain("cmd." + message.subject.rpartition(".")[2])
        with contextlib.suppress(MessageRefusedError):
            if domain is Domain.CHALLENGE:
                challenge = self._side.open_challenge(message.data)
                if self._affords():
                    await self._greet(challenge)
            elif domain is Domain.KEYS:
                self._adopt(message.data)
            else:
                await self._obey(domain, message.data)
        if self._defect != "acknowledges nothing":
            await message.ack()

    def _adopt(self, data: bytes) -> None:
        if self._defect == "goes back":
            self._side._trust = Trust(self._side.trust.root_public_key)
        self._side.open_manifest(data)

    async def _obey(self, domain: Domain, data: bytes) -> None:
        opened = self._side.open_order(domain, data)
        if isinstance(opened, RefusedOrder):
            await self._refuse(opened)
        elif isinstance(opened.order, command_pb2.DoorCommand):
            await self._command(opened, opened.order)
        elif isinstance(opened.order, command_pb2.CancelCommand):
            await self._cancel(opened, opened.order)

    async def _refuse(self, faulted: RefusedOrder) -> None:
        if faulted.fault is Fault.ROLE_NOT_ALLOWED and self._defect == "says nothing of roles":
            return
        if faulted.answer is None:
            if self._defect == "answers noise":
                await self._say(EventKind.RESULT, b"what was that?")
        elif self._affords():
            await self._publish(faulted.answer)

    def _affords(self) -> bool:
        now = time.monotonic()
        self._spent = [at for at in self._spent if now - at < BUDGET * BUDGET_SECONDS]
        if len(self._spent) >= BUDGET and self._defect != "knows no budget":
            return False
        self._spent.append(now)
        return True

    async def _command(self, opened: AcceptedOrder | KnownOrder, order: command_pb2.DoorCommand) -> None:
        if isinstance(opened, KnownOrder):
            if self._affords():
                await self._answer(order.command_id, opened.request_hash, self._results[order.command_id])
            return
        await self._answer(
            uuid.uuid4().hex, opened.request_hash, report_pb2.CommandReceived(command_id=order.command_id)
        )
        result = report_pb2.CommandResult(
            command_id=order.command_id, outcome=report_pb2.COMMAND_OUTCOME_SUCCEEDED
        )
        if order.expires_at.ToSeconds() <= time.time():
            result.outcome = report_pb2.COMMAND_OUTCOME_REFUSED
            result.fault = report_pb2.FAULT_CODE_EXPIRED
        else:
            for door in order.doors:
                if self._defect != "moves nothing":
                    self._locked[door] = order.action == command_pb2.DOOR_ACTION_LOCK
                result.doors.add(
                    door=door, succeeded=True, locked=order.action == command_pb2.DOOR_ACTION_LOCK
                )
        result.status.CopyFrom(self._status())
        self._results[order.command_id] = result
        await self._answer(order.command_id, opened.request_hash, result)
        await self._report()

    async def _cancel(self, opened: AcceptedOrder | KnownOrder, order: command_pb2.CancelCommand) -> None:
        if isinstance(opened, KnownOrder):
            if self._affords():
                known = self._cancellations[order.cancel_id]
                await self._answer(order.cancel_id, opened.request_hash, known)
            return
        outcome = report_pb2.CANCEL_OUTCOME_TOO_LATE
        if order.command_id not in self._results:
            outcome = report_pb2.CANCEL_OUTCOME_WILL_NOT_ACT
            if self._defect != "forgets tombstones":
                cancelled = report_pb2.COMMAND_OUTCOME_CANCELLED
                self._results[order.command_id] = report_pb2.CommandResult(
                    command_id=order.command_id, outcome=cancelled, status=self._status()
                )
        decided = report_pb2.CancelResult(
            cancel_id=order.cancel_id, command_id=order.command_id, outcome=outcome
        )
        self._cancellations[order.cancel_id] = decided
        await self._answer(order.cancel_id, opened.request_hash, decided)

    async def _answer(self, answer_id: str, request_hash: bytes, answer: Any) -> None:
        message_id = self._message_ids.setdefault(answer_id, uuid.uuid4().hex)
        await self._publish(self._side.seal_answer(message_id, request_hash, answer))

    async def _greet(self, challenge: bytes = b"") -> None:
        if self._defect == "tells no counters":
            told, self._session._accepted = self._session._accepted, {}
        data = self._side.seal_hello(
            report_pb2.Hello(boot_id=self._session.epoch.hex(), agent_version="1"),
            uuid.uuid4().hex,
            challenge,
        )
        if self._defect == "tells no counters":
            self._session._accepted = told
        await self._say(EventKind.HELLO, data)

    async def _report(self) -> None:
        if self._defect == "reuses nonces":
            keys, wall = self._with_keys
            self._side._reports = _Side(VIN, *keys, self._report_key, self, wall)._reports
        await self._publish(self._side.seal_report(self._status()))

    def _status(self) -> report_pb2.StatusReport:
        status = report_pb2.StatusReport(boot_id=self._session.epoch.hex(), reporting_interval_seconds=1)
        status.observed_at.GetCurrentTime()
        for door, locked in self._locked.items():
            status.doors.add(door=door, locked=locked)
        return status

    async def _publish(self, outgoing: OutgoingEnvelope) -> None:
        await self._say(EventKind(outgoing.domain.value.removeprefix("evt.")), outgoing.data)

    async def _say(self, event: EventKind, data: bytes) -> None:
        await self._jetstream.publish(event_subject(VIN, event), data)
