"""What is told of the whole fleet's failures, and that it tells of nobody."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typing_extensions import override

from services.command.adapters.fleet_table import HEADER, fleet_csv
from services.command.adapters.fleet_translate import fleet_failures
from services.command.domain.commands import FailureReason
from services.command.domain.fleet import (
    FleetCell,
    FleetOverview,
    FleetPart,
    FleetQuery,
    FleetSample,
    FleetSpan,
    fleet_overview,
)
from services.failure_texts import Language

NOW = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
FAULT, OPEN, EXPIRED = FailureReason.ACTUATOR_FAULT, FailureReason.DOOR_OPEN, FailureReason.TTL_EXPIRED
MINIMUM = 3
Counted = dict[FleetCell, tuple[int, str]]
"""Requests, and the vehicles behind them, one letter each."""


def span(counted: Counted) -> FleetSpan:
    return FleetSpan(
        {cell: count for cell, (count, _) in counted.items()},
        {cell: frozenset(vehicles) for cell, (_, vehicles) in counted.items()},
    )


def told(
    counted: Counted, model: str | None = None, before: Counted | None = None, **sampled: Any
) -> FleetOverview:
    query = FleetQuery(NOW, timedelta(days=30), model)
    sample = FleetSample(span(counted), span(before or {}), sampled.get("parts", ()), NOW)
    return fleet_overview(query, sample, MINIMUM)


def cell(model: str = "Sedan", reason: FailureReason | None = None, door: str = "") -> FleetCell:
    return FleetCell(model, reason, door)


SEDANS: Counted = {
    cell(): (90, "abc"),
    cell(reason=FAULT): (8, "abc"),
    cell(reason=EXPIRED): (2, "a"),
    cell(reason=FAULT, door="rearLeft"): (8, "abc"),
    cell(reason=OPEN, door="rearLeft"): (1, "a"),
    cell(reason=OPEN, door="trunk"): (1, "a"),
}
VANS: Counted = {cell("Van"): (60, "vwx"), cell("Van", FAULT): (40, "vwx")}


def test_what_enough_vehicles_had_is_told_and_the_rest_together() -> None:
    overview = told(SEDANS)
    assert overview.totals is not None
    assert (overview.totals.commands, overview.totals.failures, overview.totals.rate) == (100, 10, 0.1)
    assert [(each.reason, each.failures) for each in overview.causes] == [(FAULT, 8)]
    assert overview.other_failures == 2
    (door,) = overview.doors
    assert (door.name, door.failures, door.reasons) == ("rearLeft", 9, ((FAULT, 8),))
    assert [(each, count) for each, count in overview.components] == [("DOOR_ACTUATOR", 8)]
    assert {row.reason for row, _ in overview.rows} == {None, FAULT}


def test_of_too_few_vehicles_nothing_is_told() -> None:
    overview = told({cell(): (500, "ab"), cell(reason=FAULT): (500, "ab")})
    assert (overview.totals, overview.causes, overview.rows, overview.models) == (None, (), (), ())


def test_a_reason_that_few_had_in_each_model_and_enough_in_all_is_told_of_all() -> None:
    counted = {
        **SEDANS,
        **VANS,
        cell(reason=OPEN): (1, "a"),
        cell("Van", OPEN): (2, "vw"),
    }
    assert OPEN in {each.reason for each in told(counted).causes}
    assert all(OPEN not in dict(each.reasons) for each in told(counted).models)


def test_models_are_compared_with_the_fleet_and_told_why() -> None:
    overview = told(SEDANS | VANS)
    assert [(each.name, each.commands, each.rate) for each in overview.models] == [
        ("Sedan", 100, 0.1),
        ("Van", 100, 0.4),
    ]
    van = fleet_failures(overview, "30d", Language.ENGLISH).models[1]
    assert (van.model, van.times_fleet, van.reasons[0].failures) == ("Van", 1.6, 40)


@pytest.mark.parametrize(("few", "left"), [("k", {"Sedan"}), ("klm", {"Sedan", "Van"})])
def test_no_model_of_few_vehicles_is_what_is_missing_from_the_whole(few: str, left: set[str]) -> None:
    counted = {**SEDANS, **VANS, cell("Kit"): (5, few[0]), cell("Pod"): (5, few[1:] or few)}
    overview = told(counted)
    named = {each.name for each in overview.models} - {"other"}
    assert named == left
    (other,) = [each for each in overview.models if each.name == "other"]
    assert other.commands == overview.totals.commands - sum(  # type: ignore[union-attr]
        each.commands for each in overview.models if each.name != "other"
    )
    hidden = {"Kit", "Pod", "Van", "Sedan"} - named
    assert all(told(counted, model=name).totals is None for name in hidden)
    assert {row.model for row, _ in overview.rows} <= named


def test_one_model_is_compared_with_all_of_them() -> None:
    overview = told(SEDANS | VANS, model="Van")
    assert overview.totals is not None
    assert (overview.totals.commands, overview.models) == (100, ())
    (cause,) = overview.causes
    assert (cause.reason, cause.failures, cause.fleet) == (FAULT, 40, 0.24)
    assert {row.model for row, _ in overview.rows} == {"Van"}


def test_the_period_before_is_told_where_enough_vehicles_had_it_then() -> None:
    before = {cell(): (96, "abc"), cell(reason=FAULT): (4, "abc")}
    overview = told(SEDANS, before=before)
    assert overview.totals is not None
    assert (overview.totals.before, overview.causes[0].before) == (0.04, 0.04)
    few = told(SEDANS, before={cell(): (96, "abc"), cell(reason=FAULT): (4, "ab")})
    assert few.causes[0].before is None


@pytest.mark.parametrize(("days", "parts", "first_hours"), [(7, 7, 24), (30, 30, 24), (90, 13, 168)])
def test_a_period_is_of_whole_days_and_a_long_one_shown_in_weeks(
    days: int, parts: int, first_hours: int
) -> None:
    query = FleetQuery(NOW, timedelta(days=days))
    shown = query.parts
    assert len(shown) == parts
    assert shown[0][1] - shown[0][0] == timedelta(hours=first_hours)
    assert shown[-1][1] == datetime(2026, 1, 13, tzinfo=UTC)
    assert shown[-1][1] - shown[0][0] == timedelta(days=days)
    assert query.since - query.before == timedelta(days=days)


class CountedCell(FleetCell):
    """Counts how often anything is read of one."""

    reads = 0

    @override
    def __getattribute__(self, name: str) -> Any:
        CountedCell.reads += 1
        return super().__getattribute__(name)


def reads_of_each(models: int) -> float:
    """Return how often a cell of a fleet of so many models is read."""
    doors = ("", *(f"door{n}" for n in range(4)))
    failed = [(reason, door) for reason in (FAULT, OPEN, EXPIRED) for door in doors]
    cells = [CountedCell(f"M{n}", *end) for n in range(models) for end in ((None, ""), *failed)]
    sample = span(dict.fromkeys(cells, (1, "abc")))
    CountedCell.reads = 0
    overview = fleet_overview(
        FleetQuery(NOW, timedelta(days=30)), FleetSample(sample, sample, (), NOW), MINIMUM
    )
    assert len(overview.models) == models
    return CountedCell.reads / len(cells)


def test_many_models_are_no_more_work_for_each() -> None:
    assert reads_of_each(64) < 1.5 * reads_of_each(8)


def test_it_reads_as_a_table_without_formulas() -> None:
    risky = {FleetCell("=1+1", each.reason, each.door): count for each, count in SEDANS.items()}
    text = fleet_csv(told(risky), Language.ENGLISH).decode()
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert tuple(rows[0]) == HEADER
    assert rows[1][:5] == ["'=1+1", "", "", "", "90"]
    assert [row[1:5] for row in rows[2:]] == [
        ["ACTUATOR_FAULT", "DOOR_ACTUATOR", "", "8"],
        ["ACTUATOR_FAULT", "DOOR_ACTUATOR", "rearLeft", "8"],
    ]


def test_parts_and_words_are_told() -> None:
    part = FleetPart(NOW - timedelta(days=1), NOW, 7, 2)
    message = fleet_failures(told(SEDANS, parts=(part,)), "30d", Language.KOREAN)
    assert (message.buckets[0].commands, message.buckets[0].failures) == (7, 2)
    assert message.causes[0].title == "잠금장치가 작동하지 않았습니다"
    assert not message.HasField("model")
    assert message.minimum_vehicles == MINIMUM
