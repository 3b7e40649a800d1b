"""How much each vehicle sends, from what the broker has counted of its connections. Rules only."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BURST_SECONDS = 4
"""A vehicle may send so many seconds' worth at once: what it stored while it was out of coverage."""
MOST_VEHICLES = 20_000
"""So many are remembered at most, those seen last."""
_MOST_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class ConnectionTraffic:
    """What the broker's node `server_id` has counted of one connection of a vehicle since it was opened.

    `age_seconds`: for how long it has been open, or was. Of one that has ended (`is_open` is false) it is the
    last count.
    """

    vin: str
    server_id: str
    number: int
    age_seconds: float
    messages: int
    octets: int
    is_open: bool


@dataclass(slots=True)
class _Sent:
    """Of one vehicle: what is above its rate, when that was so, and the last count of each connection."""

    at: float
    messages: float = 0
    octets: float = 0
    counts: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)


class MessageRates:
    """Keeps, for each vehicle, how far it is above `messages` and `octets` a second in the mean.

    A connection counts with what it sent since it was last seen. One that was not seen before counts with what is more
    than it might have sent in its whole life: the rest may be the work of months.
    """

    def __init__(self, messages: int, octets: int) -> None:
        self._messages = messages
        self._octets = octets
        self._vehicles: OrderedDict[str, _Sent] = OrderedDict()

    def excessive(self, seen: Sequence[ConnectionTraffic], at: float) -> dict[str, int]:
        """Return the vehicles that sent too much, by VIN, with how many messages they are above their rate.

        `at` is monotonic, in seconds. Each begins anew once it was returned.
        """
        vehicles = {each.vin: self._sent(each.vin, at) for each in seen}
        for each in seen:
            self._add(vehicles[each.vin], each)
        found = {}
        for vin, sent in vehicles.items():
            passed, sent.at = at - sent.at, at
            sent.messages = max(0.0, sent.messages - passed * self._messages)
            sent.octets = max(0.0, sent.octets - passed * self._octets)
            if sent.messages > BURST_SECONDS * self._messages or sent.octets > BURST_SECONDS * self._octets:
                found[vin] = round(sent.messages)
                sent.messages = sent.octets = 0
        return found

    def _sent(self, vin: str, at: float) -> _Sent:
        sent = self._vehicles.setdefault(vin, _Sent(at))
        self._vehicles.move_to_end(vin)
        if len(self._vehicles) > MOST_VEHICLES:
            self._vehicles.popitem(last=False)
        return sent

    def _add(self, sent: _Sent, each: ConnectionTraffic) -> None:
        key = (each.server_id, each.number)
        before = sent.counts.pop(key, None)
        if before is None:
            sent.messages += max(0.0, each.messages - each.age_seconds * self._messages)
            sent.octets += max(0.0, each.octets - each.age_seconds * self._octets)
        else:
            sent.messages += each.messages - before[0]
            sent.octets += each.octets - before[1]
        sent.counts[key] = each.messages, each.octets
        if len(sent.counts) > _MOST_CONNECTIONS:
            del sent.counts[next(iter(sent.counts))]
