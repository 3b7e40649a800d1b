"""Messages of the WebSocket of many vehicles, and what follows each."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ecarus_doors._core.calls import Call
from ecarus_doors._core.events import Event, StreamEnd
from ecarus_doors._core.retries import LONGEST_WATCH_PAUSE
from ecarus_doors.errors import DoorsError, InvalidAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

SOCKET = Call[str]("openEvents", "GET", "/api/v1/remotecontrol/events/ws", answers={101: str})
MOST_VEHICLES = 200
MOST_IN_A_MESSAGE = 100
LARGEST_MESSAGE = 1 << 20
SOCKET_LOG = logging.getLogger("ecarus_doors.websocket")
SOCKET_LOG.setLevel(logging.INFO)  # what websockets says below that holds the bearer
SIGN_IN_OVER, RIGHT_OVER = 4401, 4403
SOON_SECONDS = 5.0
"""After which a vehicle is subscribed to again where the service does not say when."""
ENDS_FOR_GOOD = frozenset({"ACTION_NOT_GRANTED", "ACCOUNT_LOCKED", "VEHICLE_NOT_FOUND", "INVALID_REQUEST"})


class SocketRefusedError(Exception):
    """The service answered the handshake otherwise than with a WebSocket."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"status {status}")
        self.status, self.headers, self.body = status, headers, body


class SocketLostError(Exception):
    """There is no connection, or it was lost or closed: with `code` and `reason` where the service said so."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


def proxy_to(url: str) -> Literal[True] | None:
    """Return through what proxy a WebSocket goes: the environment's, and none to this machine in the clear."""
    return True if url.startswith("wss:") else None


def lost(closed: Any) -> SocketLostError:
    """Return websockets' ConnectionClosed as ours."""
    said = closed.rcvd
    return SocketLostError(said.reason if said else "the connection was lost", said.code if said else None)


def refused_by(response: Any) -> SocketRefusedError:
    """Return websockets' response as ours."""
    headers = {name.lower(): value for name, value in response.headers.raw_items()}
    return SocketRefusedError(response.status_code, headers, bytes(response.body or b""))


@dataclass
class Subscription:
    """What is known of one vehicle: the last id, whether and when it is to be subscribed to (again), and why it
    ended.
    """

    last_event_id: str | None = None
    due: float | None = 0.0
    is_asked: bool = False
    ended: StreamEnd | None = None


class Subscriptions:
    """The vehicles that one feed tells of."""

    def __init__(
        self,
        vins: Iterable[str],
        *,
        types: Sequence[str] | None,
        last_event_ids: Mapping[str, str] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        known = {vin.upper(): last for vin, last in (last_event_ids or {}).items()}
        self.by_vin = {vin.upper(): Subscription(known.get(vin.upper())) for vin in vins}
        if not 1 <= len(self.by_vin) <= MOST_VEHICLES:
            raise ValueError(f"1 to {MOST_VEHICLES} vehicles")
        self._types, self._clock = types, clock

    @property
    def is_over(self) -> bool:
        """Whether nothing more is told of any of them."""
        return all(each.ended is not None for each in self.by_vin.values())

    @property
    def is_subscribed(self) -> bool:
        """Whether the service has answered for all of them."""
        return not any(each.is_asked for each in self.by_vin.values())

    def on_open(self) -> None:
        """All are to be subscribed to on a connection that is new: those that were refused for now when it is time."""
        for each in self.by_vin.values():
            each.is_asked = False
            each.due = None if each.ended is not None else each.due or 0.0

    def seconds_to_due(self) -> float | None:
        """Return how long until one is to be subscribed to again; None where none is."""
        dues = [each.due for each in self.by_vin.values() if each.due is not None]
        return max(0.0, min(dues) - self._clock()) if dues else None

    def messages(self) -> list[str]:
        """Return what is to be sent now."""
        now = self._clock()
        vehicles = []
        for vin, each in self.by_vin.items():
            if each.due is not None and each.due <= now:
                each.due, each.is_asked = None, True
                vehicles.append(
                    {"vin": vin} | ({"lastEventId": each.last_event_id} if each.last_event_id else {})
                )
        chosen = {"types": list(self._types)} if self._types is not None else {}
        return [
            json.dumps({"action": "subscribe", "vehicles": vehicles[i : i + MOST_IN_A_MESSAGE], **chosen})
            for i in range(0, len(vehicles), MOST_IN_A_MESSAGE)
        ]

    def on_message(self, text: str | bytes) -> Event | None:
        """Return the update that a message tells, if it is one. Raise DoorsError where the service says it was not
        understood.
        """
        try:
            told = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidAnswerError("a message that is no JSON") from error
        if not isinstance(told, dict):
            raise InvalidAnswerError("a message that is no object")
        kind, each = told.get("type"), self.by_vin.get(str(told.get("vin", "")))
        if kind == "ERROR":
            raise DoorsError(str(told.get("detail", "not understood")), code=str(told.get("code", "UNKNOWN")))
        if each is None:
            return None
        each.is_asked = False
        if kind in {"REFUSED", "ENDED"}:
            self._on_end(each, told)
            return None
        if kind in {"SUBSCRIBED", "UNSUBSCRIBED"}:
            each.last_event_id = each.last_event_id or told.get("eventId")
            return None
        if isinstance(told.get("id"), str):
            each.last_event_id = told["id"]
        data = told.get("data")
        return Event(
            id=str(told.get("id", "")),
            type=str(kind),
            vin=str(told["vin"]),
            timestamp=str(told.get("timestamp", "")),
            data=data if isinstance(data, dict) else {},
        )

    def end_all(self, code: str, detail: str) -> None:
        """Nothing more is told of those of which something still was."""
        for each in self.by_vin.values():
            each.ended, each.due = each.ended or StreamEnd(code, detail), None

    def end_rights(self, detail: str) -> None:
        """End what is subscribed to: there is no right to it any more. Those that were refused for now still wait."""
        for each in self.by_vin.values():
            if each.due is None:
                each.ended = each.ended or StreamEnd("ACTION_NOT_GRANTED", detail)

    def _on_end(self, each: Subscription, told: Mapping[str, Any]) -> None:
        end = StreamEnd(str(told.get("code", "UNKNOWN")), str(told.get("detail", "")))
        seconds = told.get("retryAfterSeconds")
        if end.code in ENDS_FOR_GOOD:
            each.ended, each.due = end, None
        else:
            pause = float(seconds) if isinstance(seconds, int | float) else SOON_SECONDS
            each.due = self._clock() + min(max(pause, 1.0), LONGEST_WATCH_PAUSE)
