"""The cloud's side, for tests of the car: a real broker, its streams, a queue opened on hello, signed orders."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import nats
import nats.errors
from ecarus.remotecontrol.vehicle.v1 import body_pb2, command_pb2, session_pb2
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import NotFoundError

from protocol import stream_config
from protocol.faults import SYNCHRONISATION, Fault, MessageRefusedError
from protocol.order import order_id
from protocol.streams import (
    MQTT_MESSAGES,
    MQTT_QOS_HEADER,
    STREAMS,
    VEHICLE_COMMANDS,
    VEHICLE_EVENTS,
    VEHICLE_MQTT_EVENTS,
)
from protocol.subjects import STATUS_MAPPING, CommandKind, EventKind, command_subject, event_subject
from services.command.adapters.mqtt_queue import forward_waiting
from services.platform.jetstream import Broker as RoomBroker
from tests.support.ports import free_port
from tests.support.signed_cloud import VIN, SignedCloud, VerifiedUnitMessage
from vehicle.link.mqtt_connection import MqttAccount
from vehicle.link.mqtt_link import MqttLink
from vehicle.link.nats_link import NatsAccount, NatsLink

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from protocol.order import VehicleCommand
    from vehicle.link.port import VehicleLink

ACK_WAIT_SECONDS = 1
WAIT_SECONDS = 30
SIGNED_AGAIN_AT_MOST = 3

_CONFIG = """
server_name: cloud
listen: "127.0.0.1:{port}"
mqtt {{ listen: "127.0.0.1:{mqtt_port}", ack_wait: "{ack_wait}s" }}
jetstream {{ store_dir: "{store}", sync_interval: always }}
mappings {{ "{mapping_from}": "{mapping_to}" }}
authorization {{
  users: [
    {{ user: cloud, password: cloud }}
    {{ user: car, password: car, permissions: {{
      publish: [
        "vehicle.{vin}.evt.>"
        "vehicle_status.*.{vin}"
        "$JS.API.CONSUMER.MSG.NEXT.{commands}.{vin}"
        "$JS.ACK.{commands}.{vin}.>"
      ]
      subscribe: ["_INBOX.{vin}.>"]
    }} }}
    {{ user: car-mqtt, password: car, allowed_connection_types: [MQTT], permissions: {{
      publish: ["vehicle.{vin}.evt.>", "vehicle_status.*.{vin}", "vehicle.{vin}.presence"]
      subscribe: ["vehicle.{vin}.cmd.*", "$MQTT.sub.>"]
    }} }}
  ]
}}
"""


async def until(condition: Callable[[], bool]) -> None:
    """Waits for the condition, at most WAIT_SECONDS."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110 - files and sockets raise no events
            await asyncio.sleep(0.005)


class Broker:
    """A nats-server with its data in `folder`, on a port of its own that survives restarts."""

    def __init__(self, folder: Path) -> None:
        self.port, self.mqtt_port = free_port(), free_port()
        self._config = folder / "nats.conf"
        self._log = folder / "nats.log"
        self._config.write_text(
            _CONFIG.format(
                port=self.port,
                mqtt_port=self.mqtt_port,
                ack_wait=ACK_WAIT_SECONDS,
                store=folder / "store",
                mapping_from=STATUS_MAPPING[0],
                mapping_to=STATUS_MAPPING[1],
                vin=VIN,
                commands=VEHICLE_COMMANDS,
            )
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def car_account(self) -> NatsAccount:
        return NatsAccount(self.url, "car", "car")

    @property
    def mqtt_account(self) -> MqttAccount:
        return MqttAccount("127.0.0.1", self.mqtt_port, "car-mqtt", "car")

    def make_link(self, link: str) -> VehicleLink:
        """The test's car over "nats" or "mqtt"."""
        return MqttLink(VIN, self.mqtt_account) if link == "mqtt" else NatsLink(VIN, self.car_account)

    async def start(self) -> None:
        binary = Path(sys.executable).parent / "nats-server"
        self._process = subprocess.Popen(  # noqa: ASYNC220 - forking takes a millisecond
            [binary, "-c", self._config, "-l", self._log]
        )

        def listens() -> bool:
            for port in (self.port, self.mqtt_port):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) != 0:
                        return False
            return True

        await until(listens)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()


class Cloud:
    """Opens the car's queue on its hello, signs orders, and collects what the car says.

    For a car on MQTT (`link`) it does as the command service does: what the queue holds goes into its session.
    An order that the car refuses because the two are out of step is signed again, unless `signs_again` is off.
    """

    def __init__(self, broker: Broker, link: str = "nats") -> None:
        self._broker = broker
        self._link = link
        self._client: Client | None = None
        self.signed = SignedCloud(lambda: time.time_ns() // 1_000_000)
        self.signs_again = True
        self.unbelieved: list[str] = []
        """What a car must never send."""
        self._orders: dict[str, tuple[CommandKind, VehicleCommand, dict[str, Any]]] = {}
        self._signings: Counter[str] = Counter()
        self._spoke = asyncio.Event()
        self._greeted = 0

    async def start(self) -> None:
        self._client = await nats.connect(
            self._broker.url,
            user="cloud",
            password="cloud",
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.05,
        )
        self.jetstream = self._client.jetstream()
        await RoomBroker(self._client, configs=stream_config).ensure_streams(*STREAMS.values())
        await self._client.subscribe(f"vehicle.{VIN}.evt.*", cb=self._receive)
        await self._client.subscribe("vehicle_status.>", cb=self._hear_status)
        await self._client.flush()

    async def stop(self) -> None:
        assert self._client is not None
        await self._client.close()

    async def open_queue(self) -> None:
        await self.jetstream.add_consumer(
            VEHICLE_COMMANDS,
            ConsumerConfig(
                name=VIN,
                filter_subject=f"vehicle.{VIN}.cmd.*",
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_SECONDS,
                max_ack_pending=16,
                mem_storage=True,
                inactive_threshold=30,
            ),
        )

        if self._link == "mqtt":
            assert self._client is not None
            await forward_waiting(RoomBroker(self._client, configs=stream_config), VIN, datetime.now(UTC))

    async def order(
        self,
        command: CommandKind,
        order: VehicleCommand,
        *,
        ttl_seconds: int | None = None,
        **how: Any,
    ) -> None:
        """Signs it and sends it, once the car has said hello. `how`: see SignedCloud.sign."""
        await self.subscribes(EventKind.HELLO)
        self._orders[order_id(order)] = (command, order, how)
        await self.order_bytes(command.value, self.signed.sign(order, **how), ttl_seconds)

    async def order_bytes(self, kind: str, data: bytes, ttl_seconds: int | None = None) -> None:
        subject = command_subject(VIN, CommandKind.DOOR).removesuffix("door") + kind
        headers = {"Nats-Msg-Id": uuid4().hex, MQTT_QOS_HEADER: "1"}
        await self.jetstream.publish(subject, data, headers=headers, msg_ttl=ttl_seconds)

    def received(self, event: EventKind) -> list[Any]:
        """What the car said there, without faults; a hello once its queue is open."""
        said = self.signed.said(event)
        return said[: self._greeted] if event is EventKind.HELLO else said

    def message_ids(self, event: EventKind) -> set[str]:
        return {one.message_id for one in self.signed.received if one.event is event}

    @property
    def faults(self) -> list[Fault]:
        return self.signed.faults

    async def subscribes(self, event: EventKind, count: int = 1) -> Any:
        await self.until(lambda: len(self.received(event)) >= count)
        return self.received(event)[count - 1]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until what the car said fulfils it."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not condition():
                self._spoke.clear()
                await self._spoke.wait()

    async def stored_result(self) -> Any:
        """The last result in the stream, waiting for it."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                for stream in (VEHICLE_EVENTS, VEHICLE_MQTT_EVENTS):
                    with contextlib.suppress(NotFoundError, nats.errors.Error):
                        found = await self.jetstream.get_last_msg(
                            stream, event_subject(VIN, EventKind.RESULT)
                        )
                        return self.signed.result_in(found.data or b"")
                await asyncio.sleep(0.02)

    async def queue_is_empty(self) -> None:
        """Waits until every order is settled."""
        async with asyncio.timeout(WAIT_SECONDS):
            while await self._orders_waiting():  # noqa: ASYNC110 - the broker tells nobody when a queue empties
                await asyncio.sleep(0.02)

    async def _orders_waiting(self) -> int:
        # Over MQTT the session settles an order; the queue's copy lives until the next hello, or its time is up.
        queue = MQTT_MESSAGES if self._link == "mqtt" else VEHICLE_COMMANDS
        return (await self.jetstream.stream_info(queue)).state.messages

    async def _receive(self, message: Msg) -> None:
        event = EventKind(message.subject.rpartition(".")[2])
        received = self._note(event, message.data)
        if event is EventKind.HELLO and received:
            await self.open_queue()
            self._greeted += 1
            self._spoke.set()
        if received and isinstance(received.payload, session_pb2.OrderRefused):
            await self._sign_again(received)

    async def _hear_status(self, message: Msg) -> None:
        self._note(EventKind.STATUS, message.data)

    def _note(self, event: EventKind, data: bytes) -> VerifiedUnitMessage | None:
        try:
            return self.signed.receive(event, data)
        except MessageRefusedError as refused:
            self.unbelieved.append(str(refused))
            return None
        finally:
            self._spoke.set()

    async def _sign_again(self, received: VerifiedUnitMessage) -> None:
        assert received.issued is not None
        known = self._orders.get(received.issued.order_id)
        self._signings[received.issued.order_id] += 1
        too_often = self._signings[received.issued.order_id] > SIGNED_AGAIN_AT_MOST
        if (
            known is None
            or not self.signs_again
            or too_often
            or received.payload.fault not in SYNCHRONISATION
        ):
            return
        command, order, how = known
        await self.order_bytes(command.value, self.signed.sign(order, **how))


def door_command(
    action: int = command_pb2.DOOR_ACTION_UNLOCK,
    *,
    command_id: str | None = None,
    doors: tuple[int, ...] = (),
    valid_seconds: float = 30,
) -> command_pb2.DoorCommand:
    """A NORMAL command for `doors`, or for all of them."""
    message = command_pb2.DoorCommand(
        command_id=command_id or uuid4().hex,
        action=action,  # type: ignore[arg-type]  # the enum's numbers
        mode=command_pb2.DOOR_ACTION_MODE_NORMAL,
        doors=doors,  # type: ignore[arg-type]  # the enum's numbers
        all_doors=not doors,
    )
    now = datetime.now(UTC)
    message.issued_at.FromDatetime(now)
    message.expires_at.FromDatetime(now + timedelta(seconds=valid_seconds))
    return message


def cancel(command_id: str, *, force: bool = False) -> command_pb2.CancelCommand:
    return command_pb2.CancelCommand(cancel_id=uuid4().hex, command_id=command_id, reason="test", force=force)


def settings(version: int, delay_seconds: int = 30) -> command_pb2.ApplyConfig:
    return command_pb2.ApplyConfig(
        version=version,
        settings=body_pb2.DoorSettings(
            auto_lock_enabled=True,
            auto_lock_delay_seconds=delay_seconds,
            unlock_mode=body_pb2.UNLOCK_MODE_DRIVER_ONLY,
            child_lock_enabled=True,
            speed_lock_threshold_kmh=15,
        ),
    )
