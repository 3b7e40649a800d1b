"""Commands that wait for a vehicle on MQTT: from its queue into its MQTT session.

The broker passes every command on to the session by itself, but has neither a session for a vehicle that was
never there, nor the copy that it was about to write when it was killed. The queue has both.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from protocol import broker as layout

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from nats.aio.msg import Msg

    from services.runtime.jetstream import Broker

_PULL = b'{"batch": 1, "no_wait": true}'
_ANSWER_SECONDS = 2


async def forward_waiting(broker: Broker, vin: str, now: datetime) -> None:
    """Put all that waits for `vin` into its session, in order; it may get some twice, and acts once.

    The vehicle's consumer must be there. Raises nats.errors.Error; what was not forwarded then, still waits.
    """
    pull = f"$JS.API.CONSUMER.MSG.NEXT.{layout.VEHICLE_COMMANDS}.{vin}"
    while True:
        # The old style: what is pulled comes under its own subject, which the shared inbox cannot sort.
        message = await broker.client.request(pull, _PULL, timeout=_ANSWER_SECONDS, old_style=True)
        if "Status" in (message.headers or {}):  # 404: nothing waits
            return
        await broker.jetstream.publish(
            layout.mqtt_queue_subject(message.subject),
            message.data,
            # Not under its message id: by that the broker would know it, also if it kept no copy then.
            headers={layout.MQTT_QOS_HEADER: "1"},
            msg_ttl=_seconds_left(message, now),
        )
        await message.ack()


def _seconds_left(message: Msg, now: datetime) -> float | None:
    """What remains of its time in the queue; None when it has no limit."""
    whole = (message.headers or {}).get("Nats-TTL")
    if whole is None:
        return None
    age: timedelta = now - message.metadata.timestamp
    return float(max(1, math.ceil(int(whole.removesuffix("s")) - age.total_seconds())))
