"""What vehicles say comes over NATS and over MQTT, in a stream each: whoever reads one reads both alike."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from protocol.consumers import over_mqtt
from protocol.streams import VEHICLE_MQTT_EVENTS
from services.platform.subscriptions import Subscription

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from services.platform.consumer import ConsumerPlan, Delivery, Unhandled


def over_each_link(
    plan: ConsumerPlan, handle: Callable[[Sequence[Delivery]], Awaitable[Sequence[Unhandled]]]
) -> list[Subscription]:
    """Return the subscription to vehicles' events that `plan` describes, and the same of vehicles on MQTT."""
    mqtt = replace(plan, stream=VEHICLE_MQTT_EVENTS, name=over_mqtt(plan.name))
    return [Subscription(plan, handle), Subscription(mqtt, handle)]
