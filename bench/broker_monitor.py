"""What the broker's monitoring pages tell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bench.http_client import OK, BenchFailedError, HttpConnection
from mesh.broker_accounts import VEHICLE_STORE

if TYPE_CHECKING:
    from collections.abc import Iterator

_STATUS = "VEHICLE_STATUS_"


async def connections(port: int) -> int:
    """Return how many there are; 0 while the broker does not answer."""
    try:
        return int((await _page(port, "/varz"))["connections"])
    except (OSError, BenchFailedError):
        return 0


async def stored_reports(port: int) -> int:
    """Return how many status reports the broker has ever stored. Raises OSError, BenchFailedError."""
    return sum(
        int(stream["state"]["last_seq"])
        for stream in _streams(await _page(port, f"/jsz?acc={VEHICLE_STORE}&streams=1"))
        if stream["name"].startswith(_STATUS)
    )


async def waiting_events(port: int) -> int:
    """Return how many deliveries of what vehicles said are not acknowledged. Raises OSError, BenchFailedError."""
    return sum(
        int(consumer["num_pending"]) + int(consumer["num_ack_pending"])
        for stream in _streams(await _page(port, f"/jsz?acc={VEHICLE_STORE}&consumers=1"))
        if stream["name"] in {"VEHICLE_EVENTS", "VEHICLE_MQTT_EVENTS"}
        for consumer in stream["consumer_detail"]
    )


def _streams(page: dict[str, Any]) -> Iterator[dict[str, Any]]:
    (account,) = page["account_details"]
    yield from account["stream_detail"]


async def _page(port: int, path: str) -> dict[str, Any]:
    connection = await HttpConnection.open(port)
    try:
        answer = await connection.ask(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
    finally:
        connection.close()
    if answer.status != OK:
        raise BenchFailedError(f"the broker's monitor answered {answer.status}")
    page: dict[str, Any] = json.loads(answer.body)
    return page
