"""The streams that services make, in a real nats-server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from nats.js.api import AckPolicy, ConsumerConfig

from protocol.streams import MQTT_MESSAGES, STREAMS, VEHICLE_COMMANDS
from services.telematics.broker import connect_broker

if TYPE_CHECKING:
    from tests.messaging.conftest import NatsServer

BROKERS_DEFAULT = 1_000


@pytest.mark.parametrize(
    ("stream", "subject"),
    [
        (VEHICLE_COMMANDS, "vehicle.V{}.cmd.*"),
        (MQTT_MESSAGES, "$MQTT.msgs.vehicle.V{}.cmd.*"),
    ],
)
async def test_more_vehicles_than_the_brokers_default_have_a_queue(
    nats_server: NatsServer, stream: str, subject: str
) -> None:
    broker = await connect_broker(nats_server.settings(), name="room")
    await broker.ensure_streams(STREAMS[stream])
    await asyncio.gather(
        *(
            broker.jetstream.add_consumer(
                stream,
                ConsumerConfig(
                    name=f"V{number}",
                    filter_subject=subject.format(number),
                    ack_policy=AckPolicy.EXPLICIT,
                    inactive_threshold=60,
                    mem_storage=True,
                ),
            )
            for number in range(BROKERS_DEFAULT + 1)
        )
    )
    info = await broker.jetstream.stream_info(stream)
    assert info.state.consumer_count == BROKERS_DEFAULT + 1
    await broker.client.close()
