"""Who asks the broker for answers in a wrong place is shut out.

A vehicle's pull and its acknowledgement are requests, and the broker keeps the way back of each. When an answer cannot
be delivered to a reply subject with wildcards, it forgets all ways back that these match: those of other vehicles.
No vehicle has a reason to: it hears below its own inbox only. So its requests are looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from protocol.streams import VEHICLE_COMMANDS
from protocol.subjects import is_vin
from services.enrolment.usecases import BrokerSilent
from services.platform.logs import masked_vin

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from services.enrolment.usecases import EnrolmentDependencies
    from services.platform.jetstream import Broker

REQUESTS = (f"$JS.API.CONSUMER.MSG.NEXT.{VEHICLE_COMMANDS}.*", f"$JS.ACK.{VEHICLE_COMMANDS}.>")
_log = structlog.get_logger()


class ReplyGuard:
    """Listens to vehicles' requests, and ends the connections of who names a reply subject that is not its own."""

    def __init__(self, deps: EnrolmentDependencies, broker: Broker) -> None:
        self._deps = deps
        self._broker = broker

    async def start(self) -> None:
        """Begin to listen; every replica hears all."""
        for subject in REQUESTS:
            await self._broker.client.subscribe(subject, cb=self._judge)
        await self._broker.client.flush()

    async def _judge(self, message: Msg) -> None:
        vin = vin_of_request(message.subject)
        if vin is None or is_own(message.reply, vin):
            return
        if self._deps.shut_out.add(vin, self._deps.now()):
            _log.error("vehicle_shut_out", vin=masked_vin(vin), reason="a reply subject that is not its own")
        try:
            await self._deps.connections.cut(vin)
        except BrokerSilent as silent:
            _log.error("vehicle_not_cut", vin=masked_vin(vin), reason=str(silent))


def vin_of_request(subject: str) -> str | None:
    """Return whose request it is; None for nobody's."""
    words = subject.split(".")
    place = 3 if subject.startswith("$JS.ACK.") else 6
    return words[place] if len(words) > place and is_vin(words[place]) else None


def is_own(reply: str, vin: str) -> bool:
    """Return whether an answer there reaches this vehicle, or nobody, and is no pattern."""
    if not reply:
        return True
    return reply.startswith(f"_INBOX.{vin}.") and not {"*", ">"}.intersection(reply.split("."))
