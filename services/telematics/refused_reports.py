"""What of vehicles' messages was not taken, collected to be told to the vehicles: seldom, and many as one.

It costs nothing where a message is good: only what becomes a dead letter, or was cut, is looked at.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1.session_pb2 import RefusedReport

from protocol.subjects import EventKind, vin_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from services.platform.consumer import PoisonMessage

MOST_KINDS = 8
"""So many different refusals are told at once; what there is besides is not told."""
MOST_REASON = 200
MOST_COUNT = 2**32 - 1
_MOST_VEHICLES = 10_000
_EVENTS = frozenset(event.value for event in EventKind)
_DOMAINS = frozenset(f"evt.{event}" for event in _EVENTS)

Kinds = dict[tuple[str, str, bool], int]
"""How often each (domain, reason, accepted) was seen."""


class RefusedReports:
    """Tells each vehicle at most once in `every_seconds`, and at once where it was not told lately.

    `tell` takes a VIN and what is told, at most MOST_KINDS, and must neither block nor raise.
    """

    def __init__(self, every_seconds: float, tell: Callable[[str, list[RefusedReport]], None]) -> None:
        self._every_seconds = every_seconds
        self._tell = tell
        self._waiting: OrderedDict[str, Kinds] = OrderedDict()
        self._pausing: set[str] = set()

    def after(
        self, dead_letter: Callable[[Sequence[PoisonMessage]], Awaitable[None]]
    ) -> Callable[[Sequence[PoisonMessage]], Awaitable[None]]:
        """Return `dead_letter`, which afterwards notes what of it the vehicles are to be told."""

        async def dead_letter_and_note(poison: Sequence[PoisonMessage]) -> None:
            await dead_letter(poison)
            for each in poison:
                self._note_dead_lettered(each)

        return dead_letter_and_note

    def note(self, vin: str, reports: Iterable[RefusedReport]) -> None:
        """Have the vehicle told of these."""
        for each in reports:
            if each.domain in _DOMAINS:
                self._add(vin, each.domain, each.reason, accepted=each.accepted, count=each.count)

    def _note_dead_lettered(self, poison: PoisonMessage) -> None:
        # What waits may yet be taken. What was noticed is for the operator.
        if poison.waits or poison.reason.startswith("NOTICED"):
            return
        word = poison.delivery.subject.split(".")
        kind = "status" if word[0] == "vehicle_status" else word[-1]
        if kind not in _EVENTS:
            return
        try:
            vin = vin_of(poison.delivery.subject)
        except ValueError:
            return
        self._add(vin, f"evt.{kind}", poison.reason, accepted=poison.accepted, count=poison.count)

    def _add(self, vin: str, domain: str, reason: str, *, accepted: bool, count: int) -> None:
        kinds = self._waiting.get(vin)
        if kinds is None:
            if len(self._waiting) >= _MOST_VEHICLES:
                return
            kinds = self._waiting[vin] = {}
            if vin not in self._pausing:
                asyncio.get_running_loop().call_soon(self._speak, vin)
        kind = (domain, _printable(reason), accepted)
        if kind in kinds or len(kinds) < MOST_KINDS:
            kinds[kind] = min(MOST_COUNT, kinds.get(kind, 0) + max(1, count))

    def _speak(self, vin: str) -> None:
        self._pausing.discard(vin)
        kinds = self._waiting.pop(vin, None)
        if not kinds:
            return
        self._pausing.add(vin)
        asyncio.get_running_loop().call_later(self._every_seconds, self._speak, vin)
        told = [
            RefusedReport(domain=domain, reason=reason, accepted=accepted, count=count)
            for (domain, reason, accepted), count in kinds.items()
        ]
        self._tell(vin, told)


def _printable(text: str) -> str:
    return "".join(each if " " <= each <= "~" else "?" for each in text[:MOST_REASON]) or "refused"
