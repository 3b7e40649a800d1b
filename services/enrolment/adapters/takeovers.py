"""One connection for each vehicle: the newest. The broker lets any number in; over MQTT a client id has one alone.

Two units that hold one vehicle's credentials would both pull from its queue, and each order would reach one or the
other. So the connection before is ended when a vehicle is let in. No question is asked of the broker for it: when a
whole fleet comes back at once each would be one of all connections. What was admitted is remembered, and replicas tell
each other.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import structlog

from protocol.subjects import VEHICLE_ADMITTED_SUBJECT, is_vin
from services.enrolment.domain import Connection, LatestConnections, LinkProtocol, Takeovers
from services.platform.logs import masked_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from nats.aio.client import Client
    from nats.aio.msg import Msg

_log = structlog.get_logger()


class NewestConnection:
    """Ends the connection that a newer one of the same vehicle took the place of, and tells the operator of it.

    `client` may ask the broker's system account to end a connection.
    """

    def __init__(self, client: Client, now: Callable[[], datetime]) -> None:
        self._client = client
        self._now = now
        self._latest = LatestConnections()
        self._takeovers = Takeovers()
        self._answers = client.new_inbox()

    async def start(self) -> None:
        """Begin to hear what other replicas admit, and what became of connections that were to end."""
        await self._client.subscribe(VEHICLE_ADMITTED_SUBJECT, cb=self._received)
        await self._client.subscribe(f"{self._answers}.*", cb=self._ended)
        await self._client.flush()

    async def admitted(self, vin: str, connection: Connection) -> None:
        """End the vehicle's connection before this one, which is being let in, where it is known.

        Nobody waits for the answer: the node may be gone, and says nothing then. Raises nats.errors.Error.
        """
        before = self._latest.admitted(vin, connection)
        await self._client.publish(VEHICLE_ADMITTED_SUBJECT, _told(self._answers, vin, connection))
        if before is not None:
            await self._client.publish(
                f"$SYS.REQ.SERVER.{before.server_id}.KICK",
                json.dumps({"cid": before.number}).encode(),
                reply=f"{self._answers}.{vin}",
            )

    async def _received(self, message: Msg) -> None:
        try:
            told_by, vin, connection = _read(message.data)
        except (ValueError, KeyError, TypeError) as error:
            _log.warning("admission_not_understood", reason=type(error).__name__)
            return
        if told_by != self._answers:  # what this replica said itself is known, and may be old by now
            self._latest.admitted(vin, connection)

    async def _ended(self, message: Msg) -> None:
        """Take the broker's answer: an error where the connection had ended by itself."""
        vin = message.subject.rpartition(".")[2]
        try:
            ended = "error" not in json.loads(message.data)
        except ValueError:
            ended = False
        if not ended or not is_vin(vin):
            return
        times = self._takeovers.add(vin, self._now())
        if not self._takeovers.has_two_units(times):
            _log.warning("vehicle_connected_twice", vin=masked_id(vin), times=times)
        else:
            _log.error(
                "vehicle_has_two_units",
                vin=masked_id(vin),
                times=times,
                reason="its connections take each other's place: more than one unit holds its credentials",
            )


def _told(by: str, vin: str, connection: Connection) -> bytes:
    document = {"by": by, "vin": vin, "server": connection.server_id, "cid": connection.number}
    return json.dumps({**document, "link": connection.link.value}).encode()


def _read(data: bytes) -> tuple[str, str, Connection]:
    document = json.loads(data)
    connection = Connection(document["server"], int(document["cid"]), LinkProtocol(document["link"]))
    return document["by"], document["vin"], connection
