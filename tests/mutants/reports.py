"""Faults of reports: nonces, counters, moments, and what a cloud does not take."""

from __future__ import annotations

from typing import Any

from protocol.domains import REPORTS
from protocol.reports import ReportSealer
from tests.mutants.mutant import Swap, mutant, to
from vehicle.agent import Agent
from vehicle.doors.automation import ActuationCause
from vehicle.doors.lock_changes import LockChanges
from vehicle.messages import translate
from vehicle.messages.orders import OrderProcessor


@mutant("reports-have-their-place", besides=("hello-on-reconnect",))
def nonces_begin_with_the_connection(swap: Swap) -> None:
    """The counter of reports starts again at every connection: nonces are used twice."""

    def say(was: Any) -> Any:
        async def afresh(self: Agent) -> None:
            self._channel._side._reports._sent = dict.fromkeys(REPORTS, 0)
            await was(self)

        return afresh

    swap(Agent, "_say_hello", say)


@mutant("reports-count-from-1", besides=("reboot-begins-an-epoch",))
def counters_of_reports_go_on(swap: Swap) -> None:
    """The counter of reports does not start again with the epoch."""
    sent = dict.fromkeys(REPORTS, 0)

    def begin(was: Any) -> Any:
        def going_on(self: ReportSealer, *words: Any) -> None:
            was(self, *words)
            self._sent = sent

        return going_on

    swap(ReportSealer, "__init__", begin)


@mutant("report-at-once")
def reports_by_the_clock_only(swap: Swap) -> None:
    """Nobody is reported a result before the next interval."""

    def conclude(self: OrderProcessor, answer: Any, *deliveries: Any) -> None:
        self._answers.send(answer, *deliveries)

    swap(Agent, "_body_changed", to(lambda self: self._told.clear()))
    swap(OrderProcessor, "_conclude", to(conclude))


@mutant("sleep-is-announced")
def no_last_report(swap: Swap) -> None:
    """The unit disconnects on purpose without a word."""

    async def nothing(_self: Agent) -> None:
        return

    swap(Agent, "_report_last", to(nothing))


def status_now(swap: Swap, *, going_to_sleep: bool) -> None:
    swap(Agent, "_status_now", lambda was: lambda self, **_named: was(self, going_to_sleep=going_to_sleep))


@mutant("sleep-is-announced")
def last_report_like_any(swap: Swap) -> None:
    """The last report does not say that it is."""
    status_now(swap, going_to_sleep=False)


@mutant("sleep-is-announced")
def always_going_to_sleep(swap: Swap) -> None:
    """Every report says that it is the last."""
    status_now(swap, going_to_sleep=True)


def in_status(swap: Swap, change: Any) -> None:
    def status_report(was: Any) -> Any:
        def changed(*words: Any, **named: Any) -> Any:
            report = was(*words, **named)
            change(report)
            return report

        return changed

    swap(translate, "status_report", status_report)


@mutant("report-agrees", "all-it-says-is-believed", stays_good=False)
def boot_id_too_long(swap: Swap) -> None:
    """A boot id of 65 characters."""
    in_status(swap, lambda report: setattr(report, "boot_id", "b" * 65))


@mutant("report-agrees", "all-it-says-is-believed", stays_good=False)
def no_boot_id(swap: Swap) -> None:
    """Reports do not say of which boot they are."""
    in_status(swap, lambda report: report.ClearField("boot_id"))


@mutant("report-agrees", "all-it-says-is-believed", stays_good=False)
def a_door_twice(swap: Swap) -> None:
    """A report says two things of one door."""
    in_status(swap, lambda report: report.doors.add(door=report.doors[0].door, locked=report.doors[0].locked))


@mutant("report-agrees", "all-it-says-is-believed", stays_good=False)
def undated_reports(swap: Swap) -> None:
    """Reports do not say when they were made."""
    in_status(swap, lambda report: report.ClearField("observed_at"))


@mutant("report-agrees", "all-it-says-is-believed", stays_good=False)
def no_speed_at_all(swap: Swap) -> None:
    """A speed that is no number."""
    in_status(swap, lambda report: setattr(report, "speed_kmh", float("nan")))


# The other rule takes its time: by its end the first self-check is here, and whichever rule hears it fails.
@mutant("all-it-says-is-believed", besides=("clock-runs-evenly",), stays_good=False)
def component_names_too_long(swap: Swap) -> None:
    """A component's name has 65 characters."""

    def diagnostics_report(was: Any) -> Any:
        def longer(*words: Any) -> Any:
            report = was(*words)
            report.components[0].name = "n" * 65
            return report

        return longer

    swap(translate, "diagnostics_report", diagnostics_report)


@mutant("lock-changes-name-their-cause")
def every_lock_by_key(swap: Swap) -> None:
    """Whatever moved a lock, it is called a key: nothing could contradict a command."""

    def observe(was: Any) -> Any:
        def by_hand(self: LockChanges, body: Any, _cause: Any, sequence: int) -> None:
            was(self, body, ActuationCause.HAND, sequence)

        return by_hand

    swap(LockChanges, "observe", observe)


@mutant("boot-id-is-the-hellos")
def boot_id_of_the_hello_alone(swap: Swap) -> None:
    """Reports have another boot_id than the hello."""

    def hello(was: Any) -> Any:
        def another(self: Agent) -> Any:
            said = was(self)
            said.boot_id = f"hello-{self._boot_id}"
            return said

        return another

    swap(Agent, "_hello_now", hello)


@mutant("sequence-counts-up")
def sequence_stands_still(swap: Swap) -> None:
    """Every report of a boot has one sequence."""

    def status(was: Any) -> Any:
        def first(self: Agent, **words: Any) -> Any:
            said = was(self, **words)
            said.sequence = 1
            return said

        return first

    swap(Agent, "_status_now", status)


@mutant("sequence-counts-up")
def results_count_for_themselves(swap: Swap) -> None:
    """The status inside a result has the sequence of a report."""

    def into(was: Any) -> Any:
        def with_the_last(result: Any, body: Any, status: Any, *words: Any) -> Any:
            status.sequence = max(1, status.sequence - 1)
            return was(result, body, status, *words)

        return with_the_last

    swap(translate, "result_into", into)
