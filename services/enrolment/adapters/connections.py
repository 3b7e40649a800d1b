"""The live connections of vehicles (usecases.Connections), of which the broker's system account is asked."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import nats.errors

from services.enrolment.usecases import BrokerSilentError, Cut

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
        """End all of the vehicle's; how many. Raises BrokerSilentError."""
        return (await self.keep_newest(vin, 0)).closed

    async def keep_newest(self, vin: str, most: int) -> Cut:
        """End the vehicle's oldest connections, so that at most `most` are left. Raises BrokerSilentError."""
        try:
            question = {"auth": True, "user": vin, "limit": _MOST_AT_ONCE}
            nodes = await ask_every_node(self._client, question)
            found = sorted(each for node in nodes for each in _of_vehicle(node, vin))
            oldest = found[: max(0, len(found) - most)]
            for one in oldest:
                kick = json.dumps({"cid": one.number}).encode()
                await self._client.request(
                    f"$SYS.REQ.SERVER.{one.server}.KICK", kick, timeout=_FIRST_ANSWER_SECONDS
                )
        except (nats.errors.Error, TimeoutError, ValueError, KeyError) as error:
            raise BrokerSilentError(f"{type(error).__name__}") from error
        return Cut(len(oldest), len(found) - len(oldest))


async def ask_every_node(client: Client, question: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every node's answer to a question for connections (CONNZ). Raises nats.errors.Error, TimeoutError,
    ValueError.
    """
    inbox = client.new_inbox()
    answers = await client.subscribe(inbox)
    try:
        await client.publish(_CONNECTIONS, json.dumps(question).encode(), reply=inbox)
        nodes = [json.loads((await answers.next_msg(_FIRST_ANSWER_SECONDS)).data)]
        while True:
            try:
                async with asyncio.timeout(_NEXT_ANSWER_SECONDS):
                    nodes.append(json.loads((await answers.next_msg(_FIRST_ANSWER_SECONDS)).data))
            except TimeoutError:
                return nodes
    finally:
        await answers.unsubscribe()


@dataclass(frozen=True, slots=True, order=True)
class _Connection:
    """In order of age: since when (UTC, whole seconds and their fraction as text), where, and which one there."""

    since: tuple[str, str]
    server: str
    number: int


def _of_vehicle(node: dict[str, Any], vin: str) -> list[_Connection]:
    server = node["server"]["id"]
    return [
        _Connection(_since(each["start"]), server, each["cid"])
        for each in node["data"]["connections"] or ()
        if each.get("authorized_user") == vin
    ]


def _since(start: str) -> tuple[str, str]:
    """Return a time of the broker (RFC 3339, UTC, without zeros at the end of the fraction) as it sorts."""
    whole, _, fraction = start.rstrip("Z").partition(".")
    return whole, fraction
