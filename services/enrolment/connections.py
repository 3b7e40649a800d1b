"""The live connections of vehicles (usecases.Connections), of which the broker's system account is asked."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import nats.errors

from services.enrolment.usecases import BrokerSilent

if TYPE_CHECKING:
    from nats.aio.client import Client

_CONNECTIONS = "$SYS.REQ.SERVER.PING.CONNZ"
_MOST_AT_ONCE = 1024
_FIRST_ANSWER_SECONDS = 2.0
_NEXT_ANSWER_SECONDS = 0.25
"""How long to wait for one more node of a cluster."""


class BrokerConnections:
    """`client` may ask the broker's system account for connections, and to end one."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def cut(self, vin: str) -> int:
        """See usecases.Connections."""
        try:
            found = [each for node in await self._ask_all(vin) for each in _of_vehicle(node, vin)]
            for server_id, connection in found:
                kick = json.dumps({"cid": connection}).encode()
                await self._client.request(
                    f"$SYS.REQ.SERVER.{server_id}.KICK", kick, timeout=_FIRST_ANSWER_SECONDS
                )
        except (nats.errors.Error, TimeoutError, ValueError, KeyError) as error:
            raise BrokerSilent(f"{type(error).__name__}") from error
        return len(found)

    async def _ask_all(self, vin: str) -> list[dict[str, Any]]:
        """Every node's answer."""
        inbox = self._client.new_inbox()
        answers = await self._client.subscribe(inbox)
        try:
            question = {"auth": True, "user": vin, "limit": _MOST_AT_ONCE}
            await self._client.publish(_CONNECTIONS, json.dumps(question).encode(), reply=inbox)
            nodes = [json.loads((await answers.next_msg(_FIRST_ANSWER_SECONDS)).data)]
            while True:
                try:
                    async with asyncio.timeout(_NEXT_ANSWER_SECONDS):
                        nodes.append(json.loads((await answers.next_msg(_FIRST_ANSWER_SECONDS)).data))
                except TimeoutError:
                    return nodes
        finally:
            await answers.unsubscribe()


def _of_vehicle(node: dict[str, Any], vin: str) -> list[tuple[str, int]]:
    """Server id and connection id of each of the vehicle's connections."""
    server_id = node["server"]["id"]
    connections = node["data"]["connections"] or ()
    return [(server_id, each["cid"]) for each in connections if each.get("authorized_user") == vin]
