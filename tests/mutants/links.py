"""Faults of the link over MQTT."""

from __future__ import annotations

from tests.mutants.mutant import Swap, mutant, to
from vehicle.link.mqtt_connection import MqttConnection
from vehicle.link.port import LinkDownError


@mutant("events-have-qos-1", link="mqtt")
def events_with_qos_0(swap: Swap) -> None:
    """Events are published, and nobody confirms them."""

    async def publish(self: MqttConnection, topic: str, payload: bytes) -> None:
        if self._client.publish(topic, payload, 0).rc:
            raise LinkDownError("not sent")

    swap(MqttConnection, "publish", to(publish))


@mutant("nothing-is-retained", link="mqtt")
def retained_events(swap: Swap) -> None:
    """The broker keeps the last event for whoever comes later."""

    async def publish(self: MqttConnection, topic: str, payload: bytes) -> None:
        sent = self._client.publish(topic, payload, 1, retain=True)
        await self._answer(sent.rc, sent.mid, "message")

    swap(MqttConnection, "publish", to(publish))


@mutant("acknowledged-last", link="mqtt")
def commands_with_qos_0(swap: Swap) -> None:
    """Commands are subscribed to with QoS 0: what is lost does not come again."""

    async def subscribe(self: MqttConnection, topic: str) -> None:
        code, number = self._client.subscribe(topic, 0)
        await self._answer(code, number, "subscription")

    swap(MqttConnection, "subscribe", to(subscribe))
