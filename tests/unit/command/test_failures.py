"""What is counted of failures, what follows from the counts, and what people are told of each reason."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from ecarus.remotecontrol.door.v1 import door_command_pb2, door_failure_pb2

from services.command.adapters import failure_table, failure_translate
from services.command.domain.commands import CommandAction, DoorResult, FailureReason, Status
from services.command.domain.endings import GUIDANCE
from services.command.domain.failures import (
    COMPONENT_OF,
    CountKey,
    EndedRequest,
    FailureAnalysis,
    FailureComponent,
    FailureQuery,
    FleetCounts,
    analysed,
    counted_as,
)
from services.failure_texts import Language, failure_words

NOW = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
HOUR = datetime(2026, 1, 12, 14, tzinfo=UTC)
VIN = "KMHSH81C7LU123456"
LOCK, UNLOCK = CommandAction.LOCK, CommandAction.UNLOCK
OPEN, FAULT, EXPIRED = FailureReason.DOOR_OPEN, FailureReason.ACTUATOR_FAULT, FailureReason.TTL_EXPIRED


def ended(
    status: Status,
    reason: FailureReason | None = None,
    *doors: DoorResult,
    action: CommandAction = UNLOCK,
) -> EndedRequest:
    return EndedRequest(VIN, "user-123", action, status, NOW, reason, doors)


def query(hours: int = 24, not_before: datetime = datetime(2025, 1, 1, tzinfo=UTC)) -> FailureQuery:
    return FailureQuery(VIN, NOW, timedelta(hours=hours), not_before)


def analysis(
    *counts: tuple[CountKey, int], hours: int = 24, fleet: FleetCounts | None = None
) -> FailureAnalysis:
    return analysed(query(hours), "SEDAN", counts, fleet, NOW)


def test_a_success_and_a_cancelled_command_count_and_are_no_failures() -> None:
    assert counted_as(ended(Status.SUCCESS)) == [CountKey(HOUR, UNLOCK)]
    assert counted_as(ended(Status.CANCELLED, FailureReason.SUPERSEDED)) == [CountKey(HOUR, UNLOCK)]


def test_a_failure_counts_once_and_each_door_that_failed_by_its_own_reason() -> None:
    doors = (
        DoorResult("driver", success=True, locked=False),
        DoorResult("trunk", success=False, locked=True, failure_reason=FAULT),
        DoorResult("rearLeft", success=False, locked=None),
    )
    assert counted_as(ended(Status.FAILED, FailureReason.PARTIAL_SUCCESS, *doors)) == [
        CountKey(HOUR, UNLOCK, FailureReason.PARTIAL_SUCCESS),
        CountKey(HOUR, UNLOCK, FAULT, "trunk"),
        CountKey(HOUR, UNLOCK, FailureReason.PARTIAL_SUCCESS, "rearLeft"),
    ]


def test_what_has_not_ended_and_what_moves_no_door_is_not_counted() -> None:
    assert counted_as(ended(Status.PENDING)) == []
    assert counted_as(ended(Status.FAILED, FailureReason.TOO_LATE, action=CommandAction.CANCEL)) == []
    assert counted_as(ended(Status.SUCCESS, action=CommandAction.STATUS_CHECK)) == []


def test_an_end_without_a_reason_is_a_failure_all_the_same() -> None:
    assert counted_as(ended(Status.TIMEOUT))[0].reason is EXPIRED
    assert counted_as(ended(Status.FAILED))[0].reason is FailureReason.INTERRUPTED


@pytest.mark.parametrize(
    ("hours", "since", "parts"),
    [
        (24, datetime(2026, 1, 11, 15, tzinfo=UTC), 24),
        (7 * 24, datetime(2026, 1, 6, tzinfo=UTC), 7),
        (30 * 24, datetime(2025, 12, 14, tzinfo=UTC), 30),
    ],
)
def test_a_period_is_whole_parts_the_last_of_which_is_now(hours: int, since: datetime, parts: int) -> None:
    found = analysis(hours=hours)
    assert found.query.since == since == found.buckets[0].start
    assert len(found.buckets) == parts
    assert found.buckets[-1].start <= NOW < found.buckets[-1].end


def test_nothing_is_counted_of_an_hour_in_which_the_reader_had_no_right_yet() -> None:
    assert query(not_before=NOW - timedelta(minutes=40)).counted_since == HOUR
    assert query(not_before=NOW - timedelta(minutes=29)).counted_since == HOUR + timedelta(hours=1)
    assert query(not_before=HOUR).counted_since == HOUR


def test_the_analysis_says_reasons_doors_components_and_the_likely_cause() -> None:
    earlier = HOUR - timedelta(hours=3)
    found = analysis(
        (CountKey(HOUR, UNLOCK), 5),
        (CountKey(HOUR, LOCK, OPEN), 1),
        (CountKey(HOUR, LOCK, FAULT), 2),
        (CountKey(earlier, UNLOCK, FAULT), 1),
        (CountKey(HOUR, LOCK, FAULT, "trunk"), 2),
        (CountKey(earlier, UNLOCK, FAULT, "driver"), 1),
        fleet=FleetCounts(1000, 100, {FAULT: 20}, 5),
    )
    assert (found.commands, found.failures) == (9, 4)
    assert [(each.reason, each.failures, each.doors, each.last_seen) for each in found.causes] == [
        (FAULT, 3, (("trunk", 2), ("driver", 1)), HOUR),
        (OPEN, 1, (), HOUR),
    ]
    assert [(each.door, each.failures) for each in found.doors] == [("trunk", 2), ("driver", 1)]
    assert found.components() == [(FailureComponent.DOOR_ACTUATOR, 3), (FailureComponent.DOOR, 1)]
    assert [(each.commands, each.failures) for each in found.buckets if each.commands] == [(1, 1), (8, 3)]
    likely = found.likely
    assert likely is not None
    assert (likely.reason, likely.door, likely.is_likely, likely.above_fleet) == (FAULT, "trunk", True, True)


def test_two_failures_make_nothing_likely_and_a_small_fleet_compares_with_nobody() -> None:
    likely = analysis((CountKey(HOUR, LOCK, OPEN), 2), fleet=FleetCounts(10, 1, {}, 5)).likely
    assert likely is not None
    assert (likely.is_likely, likely.above_fleet) == (False, None)
    assert analysis((CountKey(HOUR, LOCK), 9)).likely is None


def test_of_commands_that_moved_some_doors_the_doors_say_why() -> None:
    partial = FailureReason.PARTIAL_SUCCESS
    likely = analysis((CountKey(HOUR, LOCK, partial), 3), (CountKey(HOUR, LOCK, FAULT, "trunk"), 3)).likely
    assert likely is not None
    assert (likely.reason, likely.door) == (FAULT, "trunk")


def test_the_answer_compares_shares_with_the_fleets() -> None:
    found = analysis(
        (CountKey(HOUR, LOCK, OPEN), 1),
        (CountKey(HOUR, LOCK, FAULT), 3),
        fleet=FleetCounts(1000, 80, {FAULT: 20}, 5),
    )
    told = failure_translate.door_failures(found, "24h", Language.ENGLISH)
    assert [(each.share, each.HasField("fleet_share"), each.fleet_share) for each in told.causes] == [
        (0.75, True, 0.25),
        (0.25, False, 0.0),
    ]
    assert (told.fleet.failure_rate, told.fleet.minimum_vehicles) == (0.08, 5)
    assert told.components[0].fleet_share == 0.25


REASONS = [name for name in door_command_pb2.FailureReason.Value.keys() if name != "UNSPECIFIED"]  # noqa: SIM118  # no mapping


@pytest.mark.parametrize("name", REASONS)
def test_every_reason_is_said_in_english_and_korean_and_lies_in_something(name: str) -> None:
    reason = FailureReason(name)
    english, korean = (failure_words(reason, each) for each in (Language.ENGLISH, Language.KOREAN))
    for words in (english, korean):
        assert words.title
        assert words.cause.endswith(".")
        assert words.guidance.endswith(".")
    assert english.guidance.isascii()
    for text in (korean.title, korean.cause, korean.guidance):
        assert any("가" <= letter <= "힣" for letter in text)
    assert COMPONENT_OF[reason].value in door_failure_pb2.FailureComponent.Value.keys()  # noqa: SIM118  # no mapping


@pytest.mark.parametrize("reason", FailureReason)
def test_the_guidance_of_an_ending_is_the_contracts(reason: FailureReason) -> None:
    assert GUIDANCE[reason] == failure_words(reason, Language.ENGLISH).guidance


def test_none_of_them_is_said_too() -> None:
    for language in Language:
        words = failure_words("UNSPECIFIED", language)
        assert words.title
        assert words.cause.endswith(".")
        assert words.guidance.endswith(".")


def test_the_table_is_read_back_and_runs_in_no_spreadsheet() -> None:
    found = analysed(
        query(7 * 24),
        '=HYPERLINK("http://evil"),x',
        [
            (CountKey(HOUR - timedelta(hours=2), LOCK, OPEN), 1),
            (CountKey(HOUR, LOCK, OPEN), 2),
            (CountKey(HOUR, LOCK, OPEN, "driver"), 2),
            (CountKey(HOUR, UNLOCK), 7),
        ],
        None,
        NOW,
    )
    data = failure_table.failures_csv(found, Language.KOREAN)
    assert data.count(b"\r\n") == 4
    rows = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    assert [(row["action"], row["failureReason"], row["doorId"], row["count"]) for row in rows] == [
        ("LOCK", "DOOR_OPEN", "", "3"),
        ("LOCK", "DOOR_OPEN", "driver", "2"),
        ("UNLOCK", "", "", "7"),
    ]
    assert rows[0]["start"] == "2026-01-12T00:00:00.000Z"
    assert rows[0]["title"] == "문이 열려 있었습니다"
    assert rows[0]["model"] == '\'=HYPERLINK("http://evil"),x'


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_begins_as_a_formula_does(begin: str) -> None:
    found = analysed(query(), f"{begin}1", [(CountKey(HOUR, UNLOCK), 1)], None, NOW)
    text = failure_table.failures_csv(found, Language.ENGLISH).decode()
    assert list(csv.reader(io.StringIO(text, newline="")))[1][1] == f"'{begin}1"
