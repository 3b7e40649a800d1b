"""What vehicles' connections have sent (flood_watch.Traffic), of which the broker's system account is asked."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import nats.errors

from protocol.streams import CARS_ACCOUNT, MQTT_CARS_ACCOUNT
from protocol.subjects import is_vin
from services.enrolment.adapters.connections import ask_every_node
from services.enrolment.domain import ConnectionTraffic
from services.enrolment.usecases import BrokerSilentError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nats.aio.client import Client

MOST_LISTED = 512
"""Of each link, on each node."""
ENDED_WITHIN = timedelta(seconds=10)
"""What ended longer ago was seen, or is the past of before this process began."""
_OPEN_AND_CLOSED = 2
"""Both at once: who hangs up before each look is seen as well."""


class BrokerTraffic:
    """Asks for the connections that sent something last.

    Sorted by their totals, a flood would come behind every connection that has lived for months. Sorted by when they
    last sent something, who floods is always in front, among those alone that sent in the same few milliseconds.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def latest(self) -> list[ConnectionTraffic]:
        """Return what is counted of the MOST_LISTED vehicles' connections of each link and node that sent last.

        Raises BrokerSilentError.
        """
        found = await asyncio.gather(
            *(self._latest_of(account) for account in (CARS_ACCOUNT, MQTT_CARS_ACCOUNT))
        )
        return [each for of_a_link in found for each in of_a_link]

    async def _latest_of(self, account: str) -> list[ConnectionTraffic]:
        question = {
            "auth": True,
            "acc": account,
            "sort": "last",
            "state": _OPEN_AND_CLOSED,
            "limit": MOST_LISTED,
        }
        try:
            nodes = await ask_every_node(self._client, question)
            return [each for node in nodes for each in _traffic_of(node)]
        except (nats.errors.Error, TimeoutError, ValueError, KeyError) as error:
            raise BrokerSilentError(f"{type(error).__name__}") from error

    async def end(self, server_id: str, number: int) -> None:
        """End this connection, and wait for nobody. Raises BrokerSilentError."""
        try:
            await self._client.publish(
                f"$SYS.REQ.SERVER.{server_id}.KICK", json.dumps({"cid": number}).encode()
            )
        except nats.errors.Error as error:
            raise BrokerSilentError(f"{type(error).__name__}") from error


def _traffic_of(node: dict[str, Any]) -> Iterator[ConnectionTraffic]:
    now = datetime.fromisoformat(node["data"]["now"])
    for each in node["data"]["connections"] or ():
        ended = datetime.fromisoformat(each["stop"]) if "stop" in each else None
        if not is_vin(each.get("authorized_user", "")) or (ended is not None and now - ended > ENDED_WITHIN):
            continue
        yield ConnectionTraffic(
            vin=each["authorized_user"],
            server_id=node["server"]["id"],
            number=each["cid"],
            age_seconds=((ended or now) - datetime.fromisoformat(each["start"])).total_seconds(),
            messages=each["in_msgs"],
            octets=each["in_bytes"],
            is_open=ended is None,
        )
