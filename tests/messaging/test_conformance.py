"""The conformance kit: the reference unit passes it over both links, and a unit with a defect does not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from conformance.certification import Assignment, broker_account
from conformance.finding import RuleVerdict
from conformance.keys import KitCloudKeys
from conformance.rules import RULES
from conformance.throwaway_broker import ThrowawayBroker
from conformance.unit import UnitTimeouts
from tests.messaging.small_unit import VIN, SmallUnit
from tests.messaging.unit_bench import ANSWER_MILLIS, UnitBench, assert_certified, findings_of, not_passed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from conformance.finding import Rule, RuleFinding

REFERENCE = f"""
import vehicle.messages.budget
vehicle.messages.budget.MILLIS_EACH = {ANSWER_MILLIS}
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
IMPATIENT = UnitTimeouts(answer=1.5, comeback=3, quiet=0.05, pace=0.06)


@pytest.fixture
def start_reference(tmp_path: Path) -> str:
    """The command that starts the reference unit."""
    program = tmp_path / "unit.py"
    program.write_text(REFERENCE)
    return f"env PYTHONPATH=.:gen {sys.executable} {program}"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("link", ["nats", "mqtt"])
async def test_the_reference_unit_passes(tmp_path: Path, start_reference: str, link: str) -> None:
    await assert_certified(tmp_path, start_reference, link)


async def test_a_second_run_at_once_finds_the_same(tmp_path: Path, start_reference: str) -> None:
    bench = UnitBench(tmp_path, start_reference)
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
