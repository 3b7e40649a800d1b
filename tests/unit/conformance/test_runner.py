"""What becomes of a rule, and how it is told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import nats.errors
import pytest

from conformance import report, runner
from conformance.finding import (
    Group,
    NotApplicableError,
    RuleFinding,
    RuleSkippedError,
    RuleVerdict,
    RuleViolatedError,
    require,
)
from conformance.rules import GROUPS, RULES
from conformance.unit import Unit, UnitTimeouts

if TYPE_CHECKING:
    from collections.abc import Callable

GROUP = Group("examples")


@GROUP.rule
async def passes(unit: Unit) -> None:
    """A sentence that is
    longer than a line.
    """


@GROUP.rule
async def hears_noise(unit: Unit) -> None:
    """Noise."""
    unit.cloud.rejected.append("noise")


@GROUP.rule
async def hangs(_unit: Unit) -> None:
    """For ever."""
    await asyncio.Event().wait()


def raises(error: Exception) -> Callable[[Any], Any]:
    async def script(_unit: Unit) -> None:
        raise error

    return script


class FakeUnit:
    """At rest at once."""

    def __init__(self) -> None:
        self.cloud = SimpleNamespace(rejected=["noise of an earlier rule"])

    async def at_rest(self) -> None:
        return


async def played(*rules: Any) -> list[RuleFinding]:
    return [finding async for finding in runner.play(FakeUnit(), rules)]  # type: ignore[arg-type]  # as much as it needs


async def test_a_rule_passes_or_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "RULE_SECONDS", 0.05)
    findings = await played(*GROUP.rules)
    assert [(one.verdict, one.detail) for one in findings] == [
        (RuleVerdict.PASS, ""),
        (RuleVerdict.FAIL, "it said what no cloud believes: noise"),
        (RuleVerdict.FAIL, "not over within 0.05 s"),
    ]
    assert GROUP.rules[1].rule_id == "hears-noise"
    assert GROUP.rules[0].sentence == "A sentence that is longer than a line."


@pytest.mark.parametrize(
    ("error", "verdict", "says"),
    [
        (RuleViolatedError("it moved"), RuleVerdict.FAIL, "it moved"),
        (RuleSkippedError("no hands"), RuleVerdict.SKIP, "no hands"),
        (NotApplicableError("over MQTT only"), RuleVerdict.NOT_APPLICABLE, "over MQTT only"),
        (nats.errors.ConnectionClosedError(), RuleVerdict.FAIL, "the broker"),
        (nats.errors.TimeoutError(), RuleVerdict.FAIL, "the broker"),
        (httpx.ConnectError("gone"), RuleVerdict.FAIL, "the control interface"),
    ],
)
async def test_what_a_rule_raises(error: Exception, verdict: RuleVerdict, says: str) -> None:
    group = Group("examples")
    group.rule(raises(error))
    (finding,) = await played(*group.rules)
    assert finding.verdict is verdict
    assert says in finding.detail


async def test_a_mistake_in_a_rule_is_no_finding() -> None:
    group = Group("examples")
    group.rule(raises(KeyError("the kit's own")))
    with pytest.raises(KeyError):
        await played(*group.rules)


def test_require() -> None:
    require(1, "never said")
    with pytest.raises(RuleViolatedError, match="said"):
        require((), "said")


def test_every_rule_has_its_own_id_and_a_sentence() -> None:
    assert len({rule.rule_id for rule in RULES}) == len(RULES)
    assert all(rule.sentence.endswith((".", ")")) for rule in RULES)
    assert all(group.rules for group in GROUPS)


EVERY = GROUP.rules[:1]


def findings(*verdicts: RuleVerdict) -> list[RuleFinding]:
    rule = GROUP.rules[0]
    return [
        RuleFinding(rule, verdict, "" if verdict is RuleVerdict.PASS else "why", 0.1234)
        for verdict in verdicts
    ]


def test_the_report() -> None:
    mixed = findings(RuleVerdict.PASS, RuleVerdict.FAIL, RuleVerdict.SKIP)
    assert report.summary(mixed, EVERY) == "violated: 1 passed, 1 failed, 1 skipped"
    assert [report.line(one).split() for one in mixed] == [
        ["PASS", "passes", *GROUP.rules[0].sentence.split()],
        ["FAIL", "passes", "why"],
        ["SKIP", "passes", "why"],
    ]
    told = report.as_json(
        mixed,
        EVERY,
        vin="KMHSH81C7LU123456",
        link="mqtt",
        key_id=b"\1\2",
        began_at=datetime(2031, 1, 1, tzinfo=UTC),
    )
    assert "KMHSH81C7LU123456" not in str(told)
    assert (told["unitKeyId"], told["passed"], told["failed"], told["skipped"]) == ("0102", 1, 1, 1)
    assert (told["standing"], told["notApplicable"], told["notChosen"]) == ("violated", 0, 0)
    assert told["rules"][1] == {
        "id": "passes",
        "group": "examples",
        "sentence": GROUP.rules[0].sentence,
        "verdict": "FAIL",
        "detail": "why",
        "seconds": 0.123,
    }


@pytest.mark.parametrize(
    ("verdicts", "says"),
    [
        ([RuleVerdict.PASS, RuleVerdict.PASS], "certified: 2 passed, 0 failed, 0 skipped"),
        (
            [RuleVerdict.PASS, RuleVerdict.NOT_APPLICABLE],
            "certified: 1 passed, 0 failed, 0 skipped, 1 for another link",
        ),
        ([RuleVerdict.PASS, RuleVerdict.SKIP], "incomplete: 1 passed, 0 failed, 1 skipped"),
        ([RuleVerdict.SKIP], "incomplete: 0 passed, 0 failed, 1 skipped"),
        ([RuleVerdict.FAIL, RuleVerdict.SKIP], "violated: 0 passed, 1 failed, 1 skipped"),
    ],
)
def test_what_was_not_played_is_no_pass(verdicts: list[RuleVerdict], says: str) -> None:
    assert report.summary(findings(*verdicts), EVERY) == says


def test_what_was_not_chosen_is_no_pass() -> None:
    passed = findings(RuleVerdict.PASS)
    assert report.certification_status(passed, GROUP.rules) is report.CertificationStatus.INCOMPLETE
    assert report.summary(passed, GROUP.rules) == "incomplete: 1 passed, 0 failed, 0 skipped, 2 not chosen"
    assert report.certification_status([], GROUP.rules) is report.CertificationStatus.INCOMPLETE


async def test_what_the_unit_said_meanwhile_is_told_with_what_it_failed() -> None:
    group = Group("examples")

    @group.rule
    async def waits_in_vain(unit: Unit) -> None:
        """Nothing that can be taken came."""
        unit.cloud.rejected.append("evt.result: a result without an outcome")
        raise RuleViolatedError("an answer did not come")

    (finding,) = await played(*group.rules)
    assert finding.detail == (
        "an answer did not come (it said what no cloud believes: evt.result: a result without an outcome)"
    )


async def test_what_costs_the_budget_is_paced() -> None:
    loop = asyncio.get_running_loop()
    unit = Unit(None, None, UnitTimeouts(pace=0.05), None, over_mqtt=False)  # type: ignore[arg-type]  # it only waits
    began = loop.time()
    for _ in range(3):
        await unit.afford()
    assert loop.time() - began >= 0.1
    await unit.afford(2)
    assert loop.time() - began >= 0.2
