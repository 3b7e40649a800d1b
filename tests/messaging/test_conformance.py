"""The conformance kit: the reference unit passes it over both links, and a unit with a defect does not."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from conformance.certification import Assignment, broker_account, certify
from conformance.finding import RuleVerdict
from conformance.keys import KitCloudKeys
from conformance.report import CertificationStatus, certification_status
from conformance.rules import RULES
from conformance.throwaway_broker import ThrowawayBroker
from conformance.unit import UnitTimeouts
from tests.messaging.small_unit import VIN, SmallUnit
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from conformance.finding import Rule, RuleFinding

# The reference unit, with a budget that fills faster: the kit has more to ask than a test has time.
REFERENCE = """
import vehicle.messages.budget
vehicle.messages.budget.MILLIS_EACH = 150
from vehicle.__main__ import main
main()
"""
DEFECTS = (
    ("says no hello", "hello-on-connect", "a hello that can be believed did not come"),
    ("tells no counters", "hello-tells-counters", "in cmd.door, and says None"),
    ("moves nothing", "good-order-acts", "the result's status does not agree"),
    ("acts twice", "signed-anew-acts-once", "answered otherwise than the first"),
    ("ignores counters", "earlier-never-undoes-later", "not refused as COUNTER_NOT_NEW"),
    ("ignores epoch", "wrong-epoch-is-refused", "not refused as WRONG_EPOCH"),
    ("ignores expiry", "expired-never-acts", "not refused as EXPIRED"),
    ("stops its clock", "clock-runs-evenly", "its clock counted 0 ms"),
    ("ignores signatures", "bad-signature-is-ignored", "the door moved for an order that must not act"),
    ("answers noise", "flipped-bits-are-ignored", "it said what no cloud believes"),
    ("says nothing of roles", "role-is-looked-at", "a refusal did not come"),
    ("knows no budget", "faults-have-a-budget", "20 of 20 refused orders"),
    ("forgets tombstones", "cancellation-before-the-command", "the command was not CANCELLED"),
    ("goes back", "rollback-is-refused", "it went back to manifest"),
    ("reuses nonces", "reports-have-their-place", "a nonce was used twice"),
    ("acknowledges nothing", "everything-is-acknowledged", "were never acknowledged"),
)
CATCHING = tuple(rule_id for _defect, rule_id, _said in DEFECTS)
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


def shares() -> list[list[Rule]]:
    """All rules in their order, in pieces, and at the end of each what looks back at all that was said."""
    begins = [*(place for place, rule in enumerate(RULES) if rule.rule_id in SHARES_BEGIN), len(RULES)]
    pieces = [RULES[begin:end] for begin, end in itertools.pairwise(begins)]
    return [[*piece, *(rule for rule in AT_THE_END if rule not in piece)] for piece in pieces]


SHARES = shares()
IMPATIENT = UnitTimeouts(answer=1.5, comeback=3, quiet=0.05, pace=0.06)


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


class ReferenceHarness:
    """The reference unit, started anew for each run on one and the same folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        private, public = folder / "car.pem", folder / "car.public.pem"
        make_keys = [sys.executable, "-m", "vehicle", "keys", "--out", private, "--public", public]
        subprocess.run(make_keys, check=True, env={"PYTHONPATH": ".:gen"})
        (folder / "unit.py").write_text(REFERENCE)
        self._port = free_port()

    async def play(self, link: str, rules: Sequence[Rule] = RULES) -> dict[str, RuleFinding]:
        order = Assignment(
            vin=VIN,
            link=link,
            unit_keys=self._folder / "car.public.pem",
            work=self._folder / "work",
            rules=rules,
            start=f"env PYTHONPATH=.:gen {sys.executable} {self._folder / 'unit.py'}",
            control=f"http://127.0.0.1:{self._port}",
            private_keys=self._folder / "car.pem",
            patience=UnitTimeouts(quiet=0.1, pace=0.16),
        )
        return await findings_of(order)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("link", ["nats", "mqtt"])
async def test_the_reference_unit_passes(tmp_path: Path, link: str) -> None:
    # Most rules wait for their unit, so several units play them at once, each with a broker of its own and a share in
    # the order of the whole; what is asked at the end of all that a unit said is asked of each.
    units = [ReferenceHarness(tmp_path / f"unit-{n}") for n in range(len(SHARES))]
    played = await asyncio.gather(
        *(unit.play(link, share) for unit, share in zip(units, SHARES, strict=True))
    )
    for share in played:
        assert share.keys() >= {rule.rule_id for rule in AT_THE_END}
        assert not_passed({rule.rule_id: share[rule.rule_id] for rule in AT_THE_END}) == {}
    findings = {rule_id: finding for share in played for rule_id, finding in share.items()}
    elsewhere = dict.fromkeys(("events-have-qos-1", "nothing-is-retained"), "N/A: over MQTT only")
    assert not_passed(findings) == ({} if link == "mqtt" else elsewhere)
    assert len(findings) == len(RULES)
    assert certification_status(list(findings.values()), RULES) is CertificationStatus.CERTIFIED


async def test_a_second_run_at_once_finds_the_same(tmp_path: Path) -> None:
    bench = ReferenceHarness(tmp_path)
    leaves_something = rules_called("waiting-ends-with-the-epoch", "crash-interrupts-for-good")
    assert not_passed(await bench.play("nats", leaves_something)) == {}
    whole = rules_called("good-order-acts", "all-it-says-is-believed", "everything-is-acknowledged")
    assert not_passed(await bench.play("nats", whole)) == {}


def rules_called(*rule_ids: str) -> list[Rule]:
    return [rule for rule in RULES if rule.rule_id in rule_ids]


class ConformanceHarness:
    """A broker that is not the kit's own, and a small unit made for the kit's keys."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._broker = ThrowawayBroker(folder / "broker", VIN)

    async def open(self) -> None:
        await self._broker.start()

    def close(self) -> None:
        self._broker.kill()

    async def play(self, defect: str, *rule_ids: str) -> dict[str, RuleFinding]:
        return await self.play_on(self.unit(defect), *rule_ids)

    def unit(self, defect: str) -> SmallUnit:
        return SmallUnit(broker_account(self._broker), KitCloudKeys(self._folder / "work" / "cloud"), defect)

    async def play_on(self, unit: SmallUnit, *rule_ids: str) -> dict[str, RuleFinding]:
        account = broker_account(self._broker)
        public = self._folder / "unit.public.pem"
        public.write_bytes(unit.public_pem)
        order = Assignment(
            vin=VIN,
            link="nats",
            unit_keys=public,
            work=self._folder / "work",
            rules=rules_called(*rule_ids),
            account=account,
            wait_seconds=IMPATIENT.comeback,
            patience=IMPATIENT,
        )

        def tell(said: str) -> None:
            if said.startswith("waiting"):
                unit.start()

        try:
            return await findings_of(order, tell)
        finally:
            await unit.stop()


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[ConformanceHarness]:
    one = ConformanceHarness(tmp_path)
    await one.open()
    yield one
    one.close()


async def test_a_small_unit_without_defect_passes(bench: ConformanceHarness) -> None:
    assert not_passed(await bench.play("", *CATCHING)) == {}


@pytest.mark.parametrize(("defect", "rule_id", "said"), DEFECTS)
async def test_a_defect_is_caught(bench: ConformanceHarness, defect: str, rule_id: str, said: str) -> None:
    findings = await bench.play(defect, rule_id)
    assert findings[rule_id].verdict is RuleVerdict.FAIL, findings
    assert said in findings[rule_id].detail


async def test_without_a_hello_nothing_else_is_said_to_have_failed(bench: ConformanceHarness) -> None:
    findings = await bench.play("says no hello", "hello-on-connect", "good-order-acts")
    assert {one.verdict for one in findings.values()} == {RuleVerdict.FAIL, RuleVerdict.SKIP}
    assert findings["good-order-acts"].verdict is RuleVerdict.SKIP


async def test_what_an_earlier_run_left_waiting_is_not_held_against_the_unit(
    bench: ConformanceHarness,
) -> None:
    unit = bench.unit("acknowledges nothing")
    first = await bench.play_on(unit, "everything-is-acknowledged")
    assert first["everything-is-acknowledged"].verdict is RuleVerdict.FAIL
    unit._defect = ""
    last = ("good-order-acts", "all-it-says-is-believed", "everything-is-acknowledged")
    assert not_passed(await bench.play_on(unit, *last)) == {}
