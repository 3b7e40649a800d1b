"""The unit's life: hello, orders, answers, reports."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
import time
from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.vehicle.v1 import report_pb2, session_pb2

from tests.tcu.body import INTERVAL_SECONDS, Body
from tests.tcu.links import LinkDownError, QueueGoneError
from tests.tcu.orders import ANSWERED, WITH_SESSION, Epoch, Gate, OrderRefusedError
from tests.tcu.wire import REPORT, SEAL, Envelope, RefusedError, Trust, seal, unseal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from tests.tcu.disk import Disk
    from tests.tcu.links import Delivery, Link
    from tests.tcu.orders import Order

ANSWERS = {
    "received": ("evt.received", "rdc-received+v1"),
    "result": ("evt.result", "rdc-result+v1"),
    "cancel": ("evt.cancel", "rdc-cancelled+v1"),
    "config": ("evt.config", "rdc-configured+v1"),
}
REFUSED_ON = {"cmd.door": "evt.result", "cmd.cancel": "evt.cancel", "cmd.config": "evt.config"}
TURNS = ("cmd.keys", "cmd.cancel", "cmd.door", "cmd.config", "cmd.session")
"""Of what came together: keys first, and what withdraws a command before the command."""
MOST_ANSWERS = 5
SECONDS_EACH = 1.0
PAYLOADS: dict[str, Any] = {"result": report_pb2.CommandResult, "cancel": report_pb2.CancelResult}


def wall() -> int:
    return int(time.time())


def uptime() -> int:
    """Thousandths of a second, also in sleep."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class Unit:
    def __init__(
        self,
        vin: str,
        sign_key: Ed25519PrivateKey,
        seal_key: X25519PrivateKey,
        factory: Trust,
        disk: Disk,
        link: Link,
    ) -> None:
        self._vin, self._sign_key, self._seal_key, self._disk, self._link = (
            vin,
            sign_key,
            seal_key,
            disk,
            link,
        )
        self._trust = Trust.read(*map(bytes.fromhex, disk.manifest)) if disk.manifest else factory
        self._boot_id = secrets.token_hex(16)
        self._body = Body(disk, self._boot_id)
        self._gate = Gate(vin, seal_key, wall, self._is_known)
        self._changed = asyncio.Event()
        self._stopped = asyncio.Event()
        self._budget, self._counted_at = float(MOST_ANSWERS), time.monotonic()
        self._begin_epoch()
        self._recover()

    async def live(self) -> None:
        """Until `stop`."""
        stopped = asyncio.create_task(self._stopped.wait())
        working = asyncio.create_task(self._work())
        await asyncio.wait([stopped, working], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if working.done():
            working.result()
            return
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
        with contextlib.suppress(LinkDownError):
            await self._report("evt.status", self._body.status(going_to_sleep=True))
            await self._link.close()

    def stop(self) -> None:
        self._stopped.set()

    async def _work(self) -> None:
        pause = 0.2
        while True:
            reporting = None
            try:
                await self._link.open()
                await self._hello()  # before anything else
                for order_id, kept in list(self._disk.answers.items()):
                    if not kept["sent"]:
                        await self._send_kept(order_id)
                await self._report("evt.diagnostics", self._body.self_check())
                reporting, pause = asyncio.create_task(self._keep_reporting()), 0.2
                await self._take_orders()
            except LinkDownError as error:
                sys.stderr.write(f"link down: {error}\n")
                await asyncio.sleep(pause)
                pause = min(30.0, 2 * pause)
            finally:
                if reporting:
                    reporting.cancel()

    async def _take_orders(self) -> None:
        patience = 0.25
        said_at = time.monotonic()
        while True:
            try:
                deliveries = await self._link.receive()
            except QueueGoneError:
                await asyncio.sleep(0.1)
                if time.monotonic() - said_at >= patience:
                    patience, said_at = min(60.0, 2 * patience), time.monotonic()
                    await self._hello()
                continue
            for one in sorted(deliveries, key=lambda each: TURNS.index(each.domain)):
                await self._take(one)

    async def _take(self, delivery: Delivery) -> None:
        try:
            if delivery.domain == "cmd.keys":
                await self._adopt(unseal(delivery.data, self._seal_key, self._vin))
            elif delivery.domain == "cmd.session":
                challenge, self_check = self._gate.session_request(delivery.data, self._trust)
                if self._affords():
                    await self._hello(challenge)
                    if self_check:
                        await self._report("evt.diagnostics", self._body.self_check())
            else:
                known, order = self._gate.order(delivery.domain, delivery.data, self._trust, self._epoch)
                await self._obey(order, known=known)
            await delivery.settle()
        except OrderRefusedError as refused:
            await self._refuse(delivery.domain, refused)
            await delivery.refuse()
        except RefusedError as refused:
            sys.stderr.write(f"{delivery.domain} refused: {refused}\n")
            await delivery.refuse()

    # Orders

    def _is_known(self, domain: str, order_id: str) -> bool:
        if domain == "cmd.config":
            return int(order_id) <= self._disk.settings[0]
        return order_id in self._disk.answers or (domain == "cmd.door" and order_id in self._disk.begun)

    async def _obey(self, order: Order, *, known: bool) -> None:
        if order.domain == "cmd.config":
            report = self._body.configure(order) if not known else self._as_it_runs()
            if not known or self._affords():
                await self._say("config", order.request_hash, secrets.token_hex(16), report)
        elif known:
            self._disk.answers[order.order_id]["hash"] = order.request_hash.hex()
            if self._affords():
                await self._send_kept(order.order_id)
        elif order.domain == "cmd.cancel":
            await self._cancel(order)
        else:
            self._disk.begun[order.order_id] = order.request_hash.hex()
            self._disk.keep()
            received = report_pb2.CommandReceived(command_id=order.order_id)
            received.received_at.GetCurrentTime()
            await self._say("received", order.request_hash, secrets.token_hex(16), received)
            result = await self._body.obey(order, self._epoch.clock)
            await self._answer("result", order.order_id, order.request_hash, result)
            self._changed.set()

    async def _cancel(self, order: Order) -> None:
        """One command after the other: what a cancellation meets has ended, or is not here yet."""
        command_id = order.body.command_id
        is_over = command_id in self._disk.answers
        if not is_over:
            cancelled = report_pb2.CommandResult(
                command_id=command_id,
                outcome=report_pb2.COMMAND_OUTCOME_CANCELLED,
                fault=report_pb2.FAULT_CODE_CANCELLED,
            )
            await self._answer("result", command_id, order.request_hash, cancelled)
        result = report_pb2.CommandResult.FromString(bytes.fromhex(self._disk.answers[command_id]["payload"]))
        is_cancelled = result.outcome == report_pb2.COMMAND_OUTCOME_CANCELLED
        outcome = (
            report_pb2.CANCEL_OUTCOME_WILL_NOT_ACT if is_cancelled else report_pb2.CANCEL_OUTCOME_TOO_LATE
        )
        decided = report_pb2.CancelResult(cancel_id=order.order_id, command_id=command_id, outcome=outcome)
        await self._answer("cancel", order.order_id, order.request_hash, decided)

    def _recover(self) -> None:
        """What had begun when the power went ends in INTERRUPTED, and never acts again."""
        for command_id, request_hash in self._disk.begun.items():
            if command_id not in self._disk.answers:
                result = report_pb2.CommandResult(
                    command_id=command_id,
                    outcome=report_pb2.COMMAND_OUTCOME_FAILED,
                    fault=report_pb2.FAULT_CODE_INTERRUPTED,
                )
                self._keep("result", command_id, bytes.fromhex(request_hash), result)

    def _as_it_runs(self) -> Any:
        report = report_pb2.ConfigReport(
            version=self._disk.settings[0], applied=True, settings=self._body.settings
        )
        report.applied_at.GetCurrentTime()
        return report

    # Answers

    async def _answer(self, member: str, order_id: str, request_hash: bytes, answer: Any) -> None:
        self._keep(member, order_id, request_hash, answer)
        await self._send_kept(order_id)

    def _keep(self, member: str, order_id: str, request_hash: bytes, answer: Any) -> None:
        if member == "result":
            answer.status.CopyFrom(self._body.status())
        self._disk.answers[order_id] = {
            "member": member,
            "payload": answer.SerializeToString().hex(),
            "hash": request_hash.hex(),
            "message_id": secrets.token_hex(16),
            "sent": False,
        }
        self._disk.keep()

    async def _send_kept(self, order_id: str) -> None:
        """Signed anew each time, under one message id."""
        kept = self._disk.answers[order_id]
        answer = PAYLOADS[kept["member"]].FromString(bytes.fromhex(kept["payload"]))
        await self._say(kept["member"], bytes.fromhex(kept["hash"]), kept["message_id"], answer)
        kept["sent"] = True
        self._disk.keep()

    async def _say(self, member: str, request_hash: bytes, message_id: str, answer: Any) -> None:
        domain, content_type = ANSWERS[member]
        await self._publish(domain, content_type, request_hash, message_id, {member: answer})

    async def _refuse(self, domain: str, refused: OrderRefusedError) -> None:
        fault = str(refused)
        sys.stderr.write(f"{domain} refused: {fault}\n")
        if fault not in ANSWERED or not self._affords():
            return
        message_id = secrets.token_hex(16)
        said = session_pb2.OrderRefused(fault=session_pb2.ProtocolFault.Value(f"PROTOCOL_FAULT_{fault}"))
        if fault in WITH_SESSION:
            said.session.CopyFrom(self._epoch.info(self._trust.manifest.version, message_id))
        await self._publish(
            REFUSED_ON[domain], "rdc-fault+v1", refused.request_hash, message_id, {"refused": said}
        )

    async def _publish(
        self, domain: str, content_type: str, request_hash: bytes, message_id: str, answer: dict[str, Any]
    ) -> None:
        message = session_pb2.SignedAnswer(
            vin=self._vin,
            message_id=message_id,
            epoch=self._epoch.epoch,
            counter=self._epoch.next_counter(domain),
            request_hash=request_hash,
            **answer,
        )
        once = f"{message_id}-{request_hash.hex()[:16]}"
        await self._link.publish(domain, self._sealed(domain, content_type, message), once)

    def _sealed(self, domain: str, content_type: str, message: Any) -> bytes:
        subject = f"vehicle.{self._vin}.{domain}".encode()
        envelope = Envelope.signed(self._sign_key, content_type, subject, message.SerializeToString())
        return seal(envelope, self._trust.first(SEAL, wall()), self._vin)

    def _affords(self) -> bool:
        """One budget for faults, repetitions and answers to session requests."""
        now = time.monotonic()
        self._budget = min(MOST_ANSWERS, self._budget + (now - self._counted_at) / SECONDS_EACH)
        self._counted_at = now
        if self._budget < 1:
            return False
        self._budget -= 1
        return True

    # Sessions, keys, reports

    def _begin_epoch(self) -> None:
        began = uptime()
        self._epoch = Epoch(lambda: uptime() - began, self._trust, self._vin, wall())

    async def _hello(self, challenge: bytes = b"") -> None:
        message_id = secrets.token_hex(16)
        info = self._epoch.info(self._trust.manifest.version, message_id)
        info.challenge = challenge
        info.hello.boot_id = self._boot_id
        info.hello.agent_version = "tcu-1"
        info.hello.config_version = self._disk.settings[0]
        info.hello.said_at.GetCurrentTime()
        await self._link.publish("evt.hello", self._sealed("evt.hello", "rdc-session+v1", info), message_id)

    async def _adopt(self, endorsed: bytes) -> None:
        adopted = self._trust.adopt(endorsed, wall())
        if adopted is self._trust:
            return
        self._disk.manifest = [adopted.endorsed_by.hex(), adopted.endorsed.hex()]
        self._disk.keep()  # before it is used
        self._trust = adopted
        if not adopted.has(REPORT, self._epoch.cloud_key):
            self._begin_epoch()
        await self._hello()

    async def _report(self, domain: str, report: Any) -> None:
        data = self._epoch.reports.seal(domain, report.SerializeToString())
        await self._link.publish(domain, data, data[2:26].hex())

    async def _keep_reporting(self) -> None:
        while True:
            self._changed.clear()
            try:
                await self._report("evt.status", self._body.status())
            except LinkDownError as error:
                sys.stderr.write(f"not reported: {error}\n")
                await asyncio.sleep(1)
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), INTERVAL_SECONDS)
