"""Commands that wait for a vehicle on MQTT: from its queue into its MQTT session.

The broker passes every command on to the session by itself, but has neither a session for a vehicle that was
never there, nor the copy that it was about to write when it was killed. The queue has both.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import structlog

from protocol import streams, subjects
from protocol.stream_config import command_queue
from services.platform.broker_layout import FAILURES
from services.platform.logs import masked_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from nats.aio.msg import Msg

    from services.platform.jetstream import Broker

_PULL = b'{"batch": 1, "no_wait": true}'
_ANSWER_SECONDS = 2
_MOST_REMEMBERED = 200_000
_log = structlog.get_logger()


class MqttSessions:
    """Brings vehicles on MQTT what their queue still holds, when they do not confirm it.

    The broker passes a command on to its session without waiting for anything: while the sessions' stream has no
    leader, because a node has died, that copy is lost. The vehicle, whose own connection stays, has no reason to say
    hello. Which vehicles are on MQTT is known from their last hello, by the replica that read it.
    """

    def __init__(self, broker: Broker, now: Callable[[], datetime]) -> None:
        self._broker = broker
        self._now = now
        self._vins: dict[str, None] = {}

    def over_mqtt(self, vin: str) -> bool:
        """Return whether the vehicle's last hello came over MQTT."""
        return vin in self._vins

    def received(self, vin: str, *, over_mqtt: bool) -> None:
        """Note what the vehicle's hello came over."""
        self._vins.pop(vin, None)
        if over_mqtt:
            self._vins[vin] = None
        if len(self._vins) > _MOST_REMEMBERED:
            del self._vins[next(iter(self._vins))]

    async def pass_on(self, vin: str) -> None:
        """Bring it what waits, if it is on MQTT. What fails is tried again the next time."""
        if vin not in self._vins:
            return
        try:
            await self._broker.jetstream.add_consumer(streams.VEHICLE_COMMANDS, command_queue(vin))
            brought = await forward_waiting(self._broker, vin, self._now())
        except FAILURES as error:
            _log.warning("not_passed_on", vin=masked_id(vin), reason=str(error) or "no answer")
        else:
            if brought:
                _log.info("passed_on_again", vin=masked_id(vin), messages=brought)


async def forward_waiting(broker: Broker, vin: str, now: datetime) -> int:
    """Put all that waits for `vin` into its session, in order, and return how much; it may get some twice, and acts
    once.

    The vehicle's consumer must be there. Raises nats.errors.Error; what was not forwarded then, still waits.
    """
    pull = f"$JS.API.CONSUMER.MSG.NEXT.{streams.VEHICLE_COMMANDS}.{vin}"
    brought = 0
    while True:
        # The old style: what is pulled comes under its own subject, which the shared inbox cannot sort.
        message = await broker.client.request(pull, _PULL, timeout=_ANSWER_SECONDS, old_style=True)
        if "Status" in (message.headers or {}):  # 404: nothing waits
            return brought
        await broker.jetstream.publish(
            subjects.mqtt_queue_subject(message.subject),
            message.data,
            # Not under its message id: by that the broker would know it, also if it kept no copy then.
            headers={streams.MQTT_QOS_HEADER: "1"},
            msg_ttl=_seconds_left(message, now),
        )
        await message.ack()
        brought += 1


def _seconds_left(message: Msg, now: datetime) -> float | None:
    """Return what remains of its time in the queue; None when it has no limit."""
    whole = (message.headers or {}).get("Nats-TTL")
    if whole is None:
        return None
    age: timedelta = now - message.metadata.timestamp
    return float(max(1, math.ceil(int(whole.removesuffix("s")) - age.total_seconds())))
