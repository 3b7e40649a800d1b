"""The rules of abnormal access: what each counts, by whom, and what it must not find."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from services.access.adapters.signal_log import SignalLog
from services.access.domain.abnormal import (
    SANDBOX,
    STRICT,
    AbnormalKind,
    AbnormalRule,
    AbnormalWatch,
    AccessSignal,
    Consequence,
    Finding,
    Outcome,
    rules_in,
)

HOUR = 3_600.0
NOON = 1_800_000_000.0 - 1_800_000_000.0 % 86_400 + 12 * HOUR


def signal(at: float = NOON, outcome: Outcome = Outcome.ALLOWED, **changed: Any) -> AccessSignal:
    form = {"network": "192.0.2.1", "actor": "anna", "subject": "anna", "vin": "V1", "action": "door.unlock"}
    return AccessSignal(at, outcome, **{**form, **changed})


def found(rules: dict[AbnormalKind, AbnormalRule], *signals: AccessSignal) -> list[Finding]:
    watch = AbnormalWatch(rules)
    return [finding for each in signals for finding in watch.observe(each)]


def one(kind: AbnormalKind, most: int, seconds: int = 60) -> dict[AbnormalKind, AbnormalRule]:
    return {kind: AbnormalRule(most, seconds, Consequence.RESTRICT)}


def test_many_unknown_vehicles_are_enumeration_and_one_over_and_over_is_none() -> None:
    rules = one(AbnormalKind.VIN_ENUMERATION, 3)
    tries = [signal(NOON + n, Outcome.UNKNOWN_VEHICLE, vin=f"V{n}") for n in range(4)]
    (finding,) = found(rules, *tries)
    assert (finding.principal, finding.consequence) == ("anna", Consequence.RESTRICT)
    assert not found(rules, *(signal(NOON + n, Outcome.UNKNOWN_VEHICLE) for n in range(20)))
    slow = [signal(NOON + 61 * n, Outcome.UNKNOWN_VEHICLE, vin=f"V{n}") for n in range(9)]
    assert not found(rules, *slow)


def test_what_is_done_with_a_key_restricts_nobody_and_is_counted_apart() -> None:
    rules = one(AbnormalKind.VIN_ENUMERATION, 3)
    form = {"outcome": Outcome.UNKNOWN_VEHICLE, "by_key": True}
    tries = [signal(NOON + n, vin=f"V{n}", **form) for n in range(9)]
    own = signal(NOON + 9, Outcome.UNKNOWN_VEHICLE, vin="V9")
    (finding,) = found(rules, *tries, own)
    assert (finding.principal, finding.consequence) == ("anna", Consequence.ALERT)
    assert "with an API key" in finding.evidence


def test_failed_sign_ins_concern_no_account() -> None:
    rules = one(AbnormalKind.FAILED_SIGN_INS, 3)
    tries = [AccessSignal(NOON + n, Outcome.FAILED_SIGN_IN, "192.0.2.9") for n in range(10)]
    (finding,) = found(rules, *tries)
    assert finding.principal == ""
    assert "192.0.2.9" in finding.evidence
    with pytest.raises(ValueError, match="restrict nobody"):
        rules_in("FAILED_SIGN_INS=3/60:RESTRICT", STRICT)


def test_an_agent_on_many_vehicles_is_found_and_the_customers_are_not() -> None:
    rules = {kind: AbnormalRule(3, 60, Consequence.RESTRICT) for kind in AbnormalKind}
    calls = [signal(NOON + n, actor="agent-7", subject=f"user-{n}", vin=f"V{n}") for n in range(4)]
    assert [finding.principal for finding in found(rules, *calls)] == ["agent-7"]


def test_many_networks_at_once_and_unlock_bursts() -> None:
    moved = [signal(NOON + n, network=f"192.0.2.{n}") for n in range(4)]
    assert len(found(one(AbnormalKind.MANY_NETWORKS, 3), *moved)) == 1
    assert len(found(one(AbnormalKind.UNLOCK_BURST, 3), *(signal(NOON + n) for n in range(4)))) == 1
    locks = [signal(NOON + n, action="door.lock") for n in range(40)]
    assert not found(one(AbnormalKind.UNLOCK_BURST, 3), *locks)


def test_an_hour_that_was_never_used_is_unusual_once_enough_is_known() -> None:
    rules = one(AbnormalKind.UNUSUAL_HOUR, 5)
    usual = [signal(NOON + n * 86_400) for n in range(5)]
    night = signal(NOON + 6 * 86_400 + 15 * HOUR)
    assert not found(rules, *usual[:4], night)
    (finding,) = found(rules, *usual, night)
    assert "3 h" in finding.evidence


def test_two_countries_within_an_hour_are_impossible_travel() -> None:
    rules = one(AbnormalKind.IMPOSSIBLE_TRAVEL, 0, 3_600)
    here, there = signal(country="KR"), signal(NOON + 60, country="BR")
    (finding,) = found(rules, here, there)
    assert "BR, KR" in finding.evidence or "KR and BR" in finding.evidence
    assert not found(rules, here, signal(NOON + 2 * HOUR, country="BR"))
    assert not found(rules, signal(), signal(NOON + 1))  # no country is given


def test_what_is_found_is_found_once_in_its_time() -> None:
    rules = one(AbnormalKind.UNLOCK_BURST, 2, 100)
    assert len(found(rules, *(signal(NOON + n) for n in range(90)))) == 1


def test_memory_is_bounded() -> None:
    watch = AbnormalWatch({AbnormalKind.UNLOCK_BURST: AbnormalRule(5, 60)}, most_keys=10)
    for n in range(1_000):
        watch.observe(signal(NOON, actor=f"u{n}", subject=f"u{n}"))
    assert len(watch._seen[AbnormalKind.UNLOCK_BURST]) == 10
    for _ in range(1_000):
        watch.observe(signal(NOON, actor="u", subject="u"))
    assert len(watch._seen[AbnormalKind.UNLOCK_BURST]["u", False].values) <= 6


@pytest.mark.parametrize("kind", list(AbnormalKind))
def test_no_request_walks_over_those_before_it(kind: AbnormalKind) -> None:
    class Unwalked(deque[Any]):
        def __iter__(self) -> Any:
            raise AssertionError

    watch = AbnormalWatch({kind: AbnormalRule(50, 600)})
    key = ("agent" if kind is AbnormalKind.AGENT_VEHICLES else "anna", False)
    key = ("192.0.2.1", False) if kind is AbnormalKind.FAILED_SIGN_INS else key
    seen = watch._remembered(kind, key)
    seen.values = Unwalked()
    form = {
        AbnormalKind.VIN_ENUMERATION: {"outcome": Outcome.UNKNOWN_VEHICLE},
        AbnormalKind.FAILED_SIGN_INS: {"outcome": Outcome.FAILED_SIGN_IN},
        AbnormalKind.AGENT_VEHICLES: {"actor": "agent"},
    }.get(kind, {})
    for n in range(200):
        moved = {"network": f"192.0.2.{n}"} if kind is AbnormalKind.MANY_NETWORKS else {}
        watch.observe(signal(NOON + n, vin=f"V{n}", country="KR", **form, **moved))
    assert watch._seen[kind] == {key: seen}
    assert 2 <= len(seen.values) <= 51
    assert sum(seen.counts.values()) == len(seen.values)


def test_what_the_sandbox_remembers_is_bounded() -> None:
    assert all(rule.most <= 5_000 for rule in SANDBOX.values())
    assert all(rule.consequence is Consequence.ALERT for rule in SANDBOX.values())


async def test_what_is_too_much_is_lost_and_never_waited_for() -> None:
    log, seen = SignalLog(most=3), []

    async def take(signals: Any) -> None:
        seen.extend(signals)

    for n in range(5):
        log.note(signal(NOON + n))
    await log.look(take)
    assert [each.at - NOON for each in seen] == [0, 1, 2]
    log.note(signal())
    await log.look(take)
    assert len(seen) == 4


@pytest.mark.parametrize(
    "text", ["X=1/1:ALERT", "UNLOCK_BURST=1:ALERT", "UNLOCK_BURST=1/0:ALERT", "UNLOCK_BURST=1/1:SHOOT", ""]
)
def test_rules_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"[A-Z]"):
        rules_in(text, STRICT)


def test_a_rule_is_changed_by_itself() -> None:
    rules = rules_in("UNLOCK_BURST=5/60:RESTRICT", STRICT)
    assert rules[AbnormalKind.UNLOCK_BURST] == AbnormalRule(5, 60, Consequence.RESTRICT)
    assert rules[AbnormalKind.VIN_ENUMERATION] == STRICT[AbnormalKind.VIN_ENUMERATION]
