"""The life of a command as rules: what reports, endings and cancellations make of it, in whatever order they come."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.faults import Fault
from services.command.domain import lifecycle
from services.command.domain.changes import (
    CancellationEnded,
    CancellationState,
    CommandEnded,
    CommandReceived,
    CommandState,
    CommandSuperseded,
    CommandTakenBack,
    Decision,
    InactionProven,
    LateResultKept,
    ReportRejection,
    WakeUpCounted,
    WakeUpNoted,
)
from services.command.domain.commands import (
    Command,
    CommandAction,
    DoorAction,
    DoorResult,
    Ending,
    FailureReason,
    Mode,
    PersonRole,
    Requester,
    Status,
)
from services.command.domain.endings import right_ended, timed_out
from services.command.domain.own_cancellations import superseded_id, taken_back_id
from services.command.domain.reports import (
    EXPIRED,
    CancellationDecision,
    CommandReceipt,
    OrderRefusal,
    ReportedResult,
)
from services.command.domain.wake_budget import WakeUp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

VIN, OTHER = "KMHSH81C7LU123456", "KMHSH81C7LU654321"
START = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
TTL = timedelta(seconds=30)
UNLOCK = DoorAction(CommandAction.UNLOCK, ("driver",), Mode.NORMAL)
LOCK = DoorAction(CommandAction.LOCK, ("driver",), Mode.NORMAL)
OWNER = Requester("user-1", "user-1", "MOBILE_APP", role=PersonRole.OWNER)


def a_command(order: DoorAction = UNLOCK, command_id: str = "cmd-1") -> Command:
    return Command(command_id, VIN, order, OWNER, "c-1", START, START + TTL, 5)


LATER_LOCK = replace(a_command(LOCK, "cmd-2"), accepted_at=START + timedelta(seconds=3))


def asked(*cancel_ids: str) -> CommandState:
    return CommandState(a_command(), tuple(CancellationState(each, START) for each in cancel_ids))


_times = st.integers(0, 90).map(lambda seconds: START + timedelta(seconds=seconds))
_doors = st.lists(
    st.builds(
        DoorResult,
        st.sampled_from(["driver", "passenger"]),
        st.booleans(),
        st.sampled_from([None, True, False]),
        st.sampled_from([None, FailureReason.CANCELLED, FailureReason.ACTUATOR_FAULT]),
    ),
    max_size=2,
).map(tuple)
_endings = st.builds(
    Ending,
    st.sampled_from([status for status in Status if status.final]),
    _times,
    st.just("Over."),
    st.sampled_from([None, *FailureReason]),
    st.none(),
    st.sampled_from([None, True, False]),
    _doors,
)
_cancel_ids = st.sampled_from(["cancel-1", "cancel-2", taken_back_id("cmd-1"), superseded_id("cmd-1")])
_about = {
    "message_id": st.just("m-1"),
    "vin": st.sampled_from([VIN, VIN, OTHER]),
    "command_id": st.just("cmd-1"),
}
_reports = st.one_of(
    st.builds(CommandReceipt, **_about, at=_times),
    st.builds(ReportedResult, **_about, ending=_endings),
    st.builds(
        CancellationDecision,
        **_about,
        cancel_id=_cancel_ids,
        at=_times,
        too_late=st.booleans(),
        ending=st.none() | _endings,
    ),
    st.builds(
        OrderRefusal,
        **_about,
        order_id=st.sampled_from(["cmd-1", "cancel-1"]),
        fault=st.sampled_from([EXPIRED, "MALFORMED"]),
        again=st.booleans(),
        at=_times,
    ),
)


def _received(report: Any) -> Callable[[CommandState], Decision | None]:
    def step(state: CommandState) -> Decision | None:
        decision = lifecycle.receive(state, report)
        return None if isinstance(decision, ReportRejection) else decision

    return step


def _cancelled(cancel_id: str) -> Callable[[CommandState], Decision | None]:
    """A cancellation is kept of a command that has not ended."""

    def step(state: CommandState) -> Decision | None:
        if state.final or state.cancellation(cancel_id) is not None:
            return None
        return Decision(state.with_cancellation(CancellationState(cancel_id, START)))

    return step


_steps = st.one_of(
    _reports.map(_received),
    st.sampled_from(["cancel-1", "cancel-2"]).map(_cancelled),
    st.builds(
        lambda ending, careful: lambda state: lifecycle.end(state, ending, unless_taken_over=careful),
        _endings,
        st.booleans(),
    ),
    _times.map(lambda at: lambda state: lifecycle.take_back(state, at)),
    st.booleans().map(
        lambda unsent: lambda state: lifecycle.supersede(state, LATER_LOCK, surely_unsent=unsent)
    ),
    _times.map(lambda at: lambda state: lifecycle.wake_up(state, (), at)),
    st.just(lambda state: Decision(replace(state, command=replace(state.command, taken_over=True)))),
)
_lives = st.lists(_steps, max_size=8)


def lived(life: Sequence[Callable[[CommandState], Decision | None]]) -> list[Decision]:
    """Each decision of such a life, which begins with a new command."""
    decisions = [Decision(CommandState(a_command()))]
    for step in life:
        decisions.append(step(decisions[-1].state) or Decision(decisions[-1].state))
    return decisions


@given(_lives)
def test_a_final_status_never_changes(life: Any) -> None:
    decisions = lived(life)
    for before, after in itertools.pairwise(decisions):
        if before.state.final:
            assert after.state.command.status is before.state.command.status
            assert not any(isinstance(each, (CommandEnded, CommandReceived)) for each in after.changes)
    assert sum(isinstance(each, CommandEnded) for one in decisions for each in one.changes) <= 1


@given(_lives)
def test_every_cancellation_ends_with_its_command_or_before_and_once(life: Any) -> None:
    decisions = lived(life)
    if decisions[-1].state.final:
        assert not any(each.unanswered for each in decisions[-1].state.cancellations)
    ended = [
        each.cancel_id for one in decisions for each in one.changes if isinstance(each, CancellationEnded)
    ]
    assert len(ended) == len(set(ended))
    assert set(ended) == {each.cancel_id for each in decisions[-1].state.cancellations if not each.unanswered}


@given(_lives)
def test_a_late_result_comes_only_after_a_timeout_and_once(life: Any) -> None:
    decisions = lived(life)
    kept = 0
    for before, after in itertools.pairwise(decisions):
        late = any(isinstance(each, LateResultKept) for each in after.changes)
        kept += late
        assert not late or before.state.command.status is Status.TIMEOUT
        assert late or after.state.command.late_result == before.state.command.late_result
    assert kept <= 1


@given(_lives)
def test_only_a_timeout_is_known_later_not_to_have_acted(life: Any) -> None:
    decisions = lived(life)
    for before, after in itertools.pairwise(decisions):
        if any(isinstance(each, InactionProven) for each in after.changes):
            assert before.state.command.ending is not None
            assert before.state.command.status is Status.TIMEOUT
            assert before.state.command.ending.may_have_succeeded is True
            assert after.state.command.ending is not None
            assert after.state.command.ending.may_have_succeeded is False


@given(_lives)
def test_what_changes_is_said_and_what_is_said_changes(life: Any) -> None:
    """But for a wake-up that is not the first, which is the vehicle's."""
    quiet = (WakeUpCounted,)
    decisions = lived(life)
    for before, after in itertools.pairwise(decisions):
        told = [each for each in after.changes if not isinstance(each, quiet)]
        same = (
            before.state.command.status,
            before.state.command.late_result,
            before.state.command.ending,
        ) == (
            after.state.command.status,
            after.state.command.late_result,
            after.state.command.ending,
        )
        assert told or same
        assert not told or after.state != before.state


@given(_lives, _reports)
def test_the_same_report_again_makes_nothing_more_of_it(life: Any, report: Any) -> None:
    state = lived(life)[-1].state
    once = lifecycle.receive(state, report)
    if isinstance(once, Decision):
        again = lifecycle.receive(once.state, report)
        assert isinstance(again, Decision)
        assert not any(isinstance(each, (CommandEnded, CommandReceived)) for each in again.changes)


@given(_lives, _reports)
def test_cancellations_are_read_wherever_they_matter(life: Any, report: Any) -> None:
    state = lived(life)[-1].state
    without = CommandState(state.command)
    if not lifecycle.reads_cancellations(state.command, report):
        full, bare = lifecycle.receive(state, report), lifecycle.receive(without, report)
        if isinstance(full, ReportRejection) or isinstance(bare, ReportRejection):
            assert full == bare
        else:
            assert (full.changes, full.state.command) == (bare.changes, bare.state.command)


@given(_reports)
def test_no_report_is_taken_of_what_was_never_given_or_is_anothers(report: Any) -> None:
    assert isinstance(lifecycle.receive(None, report), ReportRejection)
    state = asked("cancel-1")
    stranger = replace(report, vin=OTHER)
    assert lifecycle.receive(state, stranger) == ReportRejection("about another vehicle's command")


def test_an_answer_to_a_cancellation_that_nobody_asked_for_is_rejected() -> None:
    answer = CancellationDecision("m-1", VIN, "cmd-1", "cancel-9", START, False, None)
    assert lifecycle.receive(asked("cancel-1"), answer) == ReportRejection(
        "about a cancellation that was never asked for"
    )


@pytest.mark.parametrize(
    ("ending", "status", "reason"),
    [
        (Ending(Status.CANCELLED, START, ""), Status.SUCCESS, None),
        (Ending(Status.FAILED, START, "", FailureReason.CANCELLED), Status.SUCCESS, None),
        (
            Ending(
                Status.FAILED,
                START,
                "",
                FailureReason.PARTIAL_SUCCESS,
                door_results=(DoorResult("driver", False, None, FailureReason.CANCELLED),),
            ),
            Status.SUCCESS,
            None,
        ),
        (right_ended(START), Status.SUCCESS, None),
        (timed_out(START, surely_unsent=False), Status.TIMEOUT, FailureReason.TTL_EXPIRED),
        (Ending(Status.SUCCESS, START, ""), Status.FAILED, FailureReason.TOO_LATE),
        (Ending(Status.FAILED, START, "", FailureReason.ENGINE_ON), Status.FAILED, FailureReason.TOO_LATE),
    ],
)
def test_a_cancellation_came_to_something_when_its_command_was_stopped(
    ending: Ending, status: Status, reason: FailureReason | None
) -> None:
    [ended, cancellation] = lifecycle.end(asked("cancel-1"), ending).changes
    assert ended == CommandEnded(ending)
    assert cancellation == CancellationEnded("cancel-1", START, status, START, reason)


def test_what_another_process_may_have_handed_over_is_not_ended_as_unsent() -> None:
    state = CommandState(replace(a_command(), taken_over=True))
    ending = timed_out(START, surely_unsent=True)
    assert lifecycle.end(state, ending, unless_taken_over=True) == Decision(state)
    assert lifecycle.end(state, ending).state.final


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (CommandState(a_command()), None),
        (CommandState(replace(a_command(), superseded=True)), FailureReason.SUPERSEDED),
        (asked(taken_back_id("cmd-1")), FailureReason.GRANT_REVOKED),
    ],
)
def test_what_the_vehicle_gave_up_says_for_whom(state: CommandState, reason: FailureReason | None) -> None:
    given_up = Ending(Status.CANCELLED, START, "Cancelled.", may_have_succeeded=False)
    decision = lifecycle.receive(state, ReportedResult("m-1", VIN, "cmd-1", given_up))
    assert isinstance(decision, Decision)
    assert decision.state.command.ending is not None
    assert decision.state.command.ending.failure_reason is reason
    assert decision.state.command.received_at == START


@pytest.mark.parametrize(
    ("after", "order_id", "fault", "ends"),
    [
        (30, "cmd-1", EXPIRED, True),
        (29, "cmd-1", EXPIRED, False),
        (30, "cancel-1", EXPIRED, False),
        (30, "cmd-1", "MALFORMED", False),
    ],
)
def test_only_an_expired_order_after_its_time_was_surely_never_taken(
    after: int, order_id: str, fault: str, ends: bool
) -> None:
    at = START + timedelta(seconds=after)
    refusal = OrderRefusal("m-1", VIN, "cmd-1", order_id, fault, again=True, at=at)
    decision = lifecycle.receive(asked("cancel-1"), refusal)
    assert isinstance(decision, Decision)
    assert decision.state.final is ends
    ending = decision.state.command.ending
    assert not ends or (ending is not None and ending.may_have_succeeded is False)


def test_the_fault_of_what_came_too_late_is_the_protocols() -> None:
    assert Fault.EXPIRED.name == EXPIRED


def test_a_command_is_taken_back_once() -> None:
    first = lifecycle.take_back(CommandState(a_command()), START)
    assert first is not None
    assert first.changes == (CommandTakenBack(taken_back_id("cmd-1"), Status.PENDING, START),)
    assert lifecycle.take_back(first.state, START) == Decision(first.state)
    ended = lifecycle.end(first.state, right_ended(START)).state
    assert lifecycle.take_back(ended, START) is None


def test_a_lock_takes_an_unlocks_place_and_nothing_elses() -> None:
    unlock = CommandState(a_command())
    sent = lifecycle.supersede(unlock, LATER_LOCK, surely_unsent=False)
    assert sent is not None
    assert [type(each) for each in sent.changes] == [CommandSuperseded]
    unsent = lifecycle.supersede(unlock, LATER_LOCK, surely_unsent=True)
    assert unsent is not None
    assert unsent.state.command.status is Status.CANCELLED
    taken_over = CommandState(replace(a_command(), taken_over=True))
    theirs = lifecycle.supersede(taken_over, LATER_LOCK, surely_unsent=True)
    assert theirs is not None
    assert not theirs.state.final
    assert lifecycle.supersede(None, LATER_LOCK, surely_unsent=True) is None
    for other in (sent.state, unsent.state, CommandState(a_command(LOCK)), _elsewhere(unlock)):
        assert lifecycle.supersede(other, LATER_LOCK, surely_unsent=False) is None


def _elsewhere(state: CommandState) -> CommandState:
    return replace(state, command=replace(state.command, vin=OTHER))


def test_a_wake_up_is_noted_the_first_time_and_counted_each_time() -> None:
    state = CommandState(a_command())
    first = lifecycle.wake_up(state, (), START)
    assert first is not None
    assert [type(each) for each in first.changes] == [WakeUpCounted, WakeUpNoted]
    just_now = (WakeUp(START, "user-1", by_owner=True),)
    assert lifecycle.wake_up(first.state, just_now, START + timedelta(seconds=14)) is None
    later = lifecycle.wake_up(first.state, just_now, START + timedelta(seconds=16))
    assert later is not None
    assert [type(each) for each in later.changes] == [WakeUpCounted]
    ended = lifecycle.end(state, timed_out(START, surely_unsent=False)).state
    assert lifecycle.wake_up(ended, (), START) is None
