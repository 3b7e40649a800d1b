"""A unit that the conformance kit starts, and the whole kit in shares that are played at once."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from typing import TYPE_CHECKING

from conformance.certification import Assignment, certify
from conformance.finding import RuleVerdict
from conformance.report import CertificationStatus, certification_status
from conformance.rules import RULES
from conformance.unit import UnitTimeouts
from tests.messaging.small_unit import VIN
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from conformance.finding import Rule, RuleFinding

AT_THE_END = tuple(
    rule for rule in RULES if rule.rule_id in {"all-it-says-is-believed", "everything-is-acknowledged"}
)
SHARES_BEGIN = (
    "hello-on-connect",
    "expiry-is-looked-at-before-each-door",
    "sleep-is-announced",
    "cancellation-before-the-command",
)
"""The rules that as many units begin with: their shares take about as long as each other."""
ANSWER_MILLIS = 150
"""A budget for answers to noise that fills faster than a unit's need: the kit has more to ask than a test has time."""


def shares() -> list[list[Rule]]:
    """All rules in their order, in pieces, and at the end of each what looks back at all that was said."""
    begins = [*(place for place, rule in enumerate(RULES) if rule.rule_id in SHARES_BEGIN), len(RULES)]
    pieces = [RULES[begin:end] for begin, end in itertools.pairwise(begins)]
    return [[*piece, *(rule for rule in AT_THE_END if rule not in piece)] for piece in pieces]


async def findings_of(
    order: Assignment, tell: Callable[[str], None] = lambda _said: None
) -> dict[str, RuleFinding]:
    return {finding.rule.rule_id: finding async for finding in certify(order, tell)}


def not_passed(findings: dict[str, RuleFinding]) -> dict[str, str]:
    return {
        rule_id: f"{one.verdict}: {one.detail}"
        for rule_id, one in findings.items()
        if one.verdict is not RuleVerdict.PASS
    }


class UnitBench:
    """A unit with the control interface, started anew for each run on one and the same folder by `start`."""

    def __init__(self, folder: Path, start: str) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._start = start
        private, public = folder / "car.pem", folder / "car.public.pem"
        make_keys = [sys.executable, "-m", "vehicle", "keys", "--out", private, "--public", public]
        subprocess.run(make_keys, check=True, env={"PYTHONPATH": ".:gen"})
        self._port = free_port()

    async def play(self, link: str, rules: Sequence[Rule] = RULES) -> dict[str, RuleFinding]:
        order = Assignment(
            vin=VIN,
            link=link,
            unit_keys=self._folder / "car.public.pem",
            work=self._folder / "work",
            rules=rules,
            start=self._start,
            control=f"http://127.0.0.1:{self._port}",
            private_keys=self._folder / "car.pem",
            patience=UnitTimeouts(quiet=0.1, pace=(ANSWER_MILLIS + 10) / 1000),
        )
        return await findings_of(order)


async def assert_certified(folder: Path, start: str, link: str) -> None:
    """Play every rule of the kit.

    Most rules wait for their unit, so several units play them at once, each with a broker of its own and a share in the
    order of the whole; what is asked at the end of all that a unit said is asked of each.
    """
    pieces = shares()
    units = [UnitBench(folder / f"unit-{n}", start) for n in range(len(pieces))]
    played = await asyncio.gather(
        *(unit.play(link, share) for unit, share in zip(units, pieces, strict=True))
    )
    for share in played:
        assert share.keys() >= {rule.rule_id for rule in AT_THE_END}
        assert not_passed({rule.rule_id: share[rule.rule_id] for rule in AT_THE_END}) == {}
    findings = {rule_id: finding for share in played for rule_id, finding in share.items()}
    elsewhere = dict.fromkeys(("events-have-qos-1", "nothing-is-retained"), "N/A: over MQTT only")
    assert not_passed(findings) == ({} if link == "mqtt" else elsewhere)
    assert len(findings) == len(RULES)
    assert certification_status(list(findings.values()), RULES) is CertificationStatus.CERTIFIED
