"""The link over MQTT 3.1.1: events are published with QoS 1, commands come out of a persistent session.

The client id is the VIN. The broker keeps what is published for the session while the car is away, and
delivers it again until the car confirms it; a confirmed event is stored. A last will tells of a car that
went without a goodbye.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from protocol.subjects import (
    CommandKind,
    EventKind,
    command_subject,
    event_subject,
    mqtt_topic,
    presence_subject,
)
from vehicle.link.addresses import Endpoint, Endpoints
from vehicle.link.mqtt_connection import LastWill, MqttAccount, MqttConnection
from vehicle.link.port import CloudDelivery, LinkDownError

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

ONLINE = b"online"
ASLEEP = b"asleep"
LOST = b"lost"

QUIET_SECONDS = 0.03
"""After waking: once nothing has come for this long, all that waited is here."""
WAKING_SECONDS = 1.0
"""How long after connecting messages are taken to have waited."""
GOODBYE_SECONDS = 0.5

_KINDS = {command.value: command for command in CommandKind}


class MqttDelivery:
    """One message out of the session."""

    def __init__(self, connection: MqttConnection, message: MQTTMessage) -> None:
        self._connection = connection
        self._message = message

    @property
    def kind(self) -> CommandKind | None:
        """By the last word of its topic."""
        return _KINDS.get(self._message.topic.rpartition("/")[2])

    @property
    def data(self) -> bytes:
        """See Delivery."""
        return bytes(self._message.payload)

    async def acknowledge(self) -> None:
        """Confirm it. Lost on the way, it comes again and finds the stored result."""
        self._connection.acknowledge(self._message)

    async def terminate(self) -> None:
        """Confirm it: MQTT knows no other way to be rid of a message."""
        self._connection.acknowledge(self._message)


class MqttLink:
    """A VehicleLink over MQTT."""

    def __init__(self, vin: str, account: MqttAccount) -> None:
        self._vin = vin
        self._account = account
        nodes = [(account.host, account.port), *account.others]
        self._endpoints = Endpoints(vin, [Endpoint(host, port, host) for host, port in nodes])
        self._presence = mqtt_topic(presence_subject(vin))
        self._commands = mqtt_topic(command_subject(vin, CommandKind.DOOR)).removesuffix("door") + "+"
        self._connection: MqttConnection | None = None
        self._arrived: asyncio.Queue[MqttDelivery | None] = asyncio.Queue()
        self._awake_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None and self._connection.is_open

    async def open(self) -> None:
        """Connect, takes up the session and says that the car is there. Raises LinkDownError; the next attempt tries
        another node.
        """
        await self.close()
        try:
            await self._open_at(self._endpoints.current())
        except LinkDownError:
            self._endpoints.failed()
            raise

    async def _open_at(self, node: Endpoint) -> None:
        arrived: asyncio.Queue[MqttDelivery | None] = asyncio.Queue()
        connection = MqttConnection(
            self._vin,
            replace(self._account, host=node.host, port=node.port),
            LastWill(self._presence, LOST),
            lambda message: arrived.put_nowait(MqttDelivery(connection, message)),
            lambda: arrived.put_nowait(None),
        )
        self._arrived, self._connection = arrived, connection
        await connection.open()
        await connection.subscribe(self._commands)
        await connection.publish(self._presence, ONLINE)
        self._awake_at = asyncio.get_running_loop().time() + WAKING_SECONDS

    async def publish(self, event: EventKind, deduplication_id: str, data: bytes) -> None:  # noqa: ARG002 - MQTT has no such id; counters and message ids are looked at behind the broker
        """Return on the broker's PUBACK, which it sends once the event is stored. Raises LinkDownError."""
        if self._connection is None:
            raise LinkDownError("not connected")
        await self._connection.publish(mqtt_topic(event_subject(self._vin, event)), data)

    async def receive(self) -> list[CloudDelivery]:
        """Return all that is here; just after waking, all that waited. Raises LinkDownError."""
        deliveries: list[CloudDelivery] = [await self._next()]
        waking = asyncio.get_running_loop().time() < self._awake_at
        while True:
            while not self._arrived.empty():
                deliveries.append(await self._next())
            if not waking:
                return deliveries
            try:
                async with asyncio.timeout(QUIET_SECONDS):
                    deliveries.append(await self._next())
            except TimeoutError:
                return deliveries

    async def drop(self) -> None:
        """End the connection without a word; the broker tells of it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    async def close(self) -> None:
        """Say that the car sleeps, and disconnects."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            if connection.is_open:
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await connection.publish(self._presence, ASLEEP)
        except (LinkDownError, TimeoutError):
            return  # gone already; the broker's own word for that is the will
        finally:
            connection.close()

    async def _next(self) -> MqttDelivery:
        delivery = await self._arrived.get()
        if delivery is None:
            self._arrived.put_nowait(None)
            raise LinkDownError("connection lost")
        return delivery
