"""What vehicles are reported the messages that were not taken: seldom, and many as one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1.session_pb2 import RefusedReport

from protocol.subjects import EventKind, event_subject
from services.platform.consumer import Delivery, PoisonMessage
from services.telematics.refused_reports import MOST_KINDS, MOST_REASON, RefusedReports

if TYPE_CHECKING:
    from collections.abc import Sequence

VIN = "KMHSH81C7LU123456"
STATUS = f"vehicle_status.3.{VIN}"
RESULT = event_subject(VIN, EventKind.RESULT)
PAUSE_SECONDS = 0.05


class Told:
    """What a vehicle was told, and what was dead-lettered."""

    def __init__(self) -> None:
        self.told: list[tuple[str, list[RefusedReport]]] = []
        self.dead_lettered: list[PoisonMessage] = []
        self.spoke = asyncio.Event()
        self.reports = RefusedReports(PAUSE_SECONDS, self._tell)
        self.dead_letter = self.reports.after(self._dead_letter)

    def _tell(self, vin: str, reports: list[RefusedReport]) -> None:
        self.told.append((vin, reports))
        self.spoke.set()

    async def _dead_letter(self, poison: Sequence[PoisonMessage]) -> None:
        self.dead_lettered += poison

    async def hears(self) -> list[RefusedReport]:
        async with asyncio.timeout(30):
            await self.spoke.wait()
        self.spoke.clear()
        return self.told[-1][1]


def poison(subject: str, reason: str, **more: bool) -> PoisonMessage:
    return PoisonMessage(Delivery(subject, b"?"), reason, **more)


async def test_it_is_buried_first_and_told_then() -> None:
    told = Told()
    await told.dead_letter(
        [poison(STATUS, "MALFORMED: not a report"), poison(STATUS, "MALFORMED: not a report")]
    )
    assert len(told.dead_lettered) == 2
    assert await told.hears() == [
        RefusedReport(domain="evt.status", reason="MALFORMED: not a report", accepted=False, count=2)
    ]


async def test_what_was_cut_was_accepted_all_the_same() -> None:
    told = Told()
    await told.dead_letter([poison(RESULT, "CUT: accepted without doors", accepted=True)])
    [report] = await told.hears()
    assert (report.domain, report.accepted) == ("evt.result", True)


async def test_a_vehicle_is_told_once_in_a_while_and_then_of_all_since() -> None:
    told = Told()
    await told.dead_letter([poison(STATUS, "one")])
    await told.hears()
    for _ in range(3):
        await told.dead_letter([poison(STATUS, "more")])
    assert len(told.told) == 1
    [report] = await told.hears()
    assert (report.reason, report.count) == ("more", 3)


async def test_what_waits_and_what_is_for_the_operator_is_not_told() -> None:
    told = Told()
    await told.dead_letter(
        [
            poison(STATUS, "WRONG_EPOCH: not yet", waits=True),
            poison(RESULT, "NOTICED: TWO_UNITS", accepted=True),
            poison("room.status.checked", "not a vehicle's"),
            poison("vehicle.nobody.evt.result", "no VIN"),
            poison(RESULT, "the last"),
        ]
    )
    assert [each.reason for each in await told.hears()] == ["the last"]


async def test_it_is_short_printable_and_of_few_kinds() -> None:
    told = Told()
    await told.dead_letter([poison(STATUS, f"{number} é\n" + "x" * 500) for number in range(20)])
    reports = await told.hears()
    assert len(reports) == MOST_KINDS
    assert all(len(each.reason) == MOST_REASON and each.reason.isprintable() for each in reports)
    assert all(each.reason.isascii() for each in reports)


async def test_hints_of_other_services_are_told_with_the_own() -> None:
    told = Told()
    told.reports.note(VIN, [RefusedReport(domain="evt.diagnostics", reason="cut", accepted=True, count=4)])
    # No service refuses messages of another kind, whatever a hint says.
    told.reports.note(VIN, [RefusedReport(domain="evt.x" * 1_000, reason="cut"), RefusedReport(reason="cut")])
    await told.dead_letter([poison(RESULT, "bad")])
    assert {(each.domain, each.count) for each in await told.hears()} == {
        ("evt.diagnostics", 4),
        ("evt.result", 1),
    }
