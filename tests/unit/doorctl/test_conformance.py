"""What `doorctl vehicle conformance` says before, and after, a unit is played on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

import doorctl.conformance
from conformance.bench import BenchLock
from conformance.finding import RuleFinding, RuleVerdict
from conformance.rules import RULES
from conformance.throwaway_broker import BrokerError
from doorctl.__main__ import app
from vehicle.messages.credentials import make_car_keys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from conformance.certification import Assignment

VIN = "KMHSH81C7LU123456"


def doorctl_conformance(*words: str | Path) -> tuple[int, list[str], list[str]]:
    done = CliRunner().invoke(app, ["vehicle", "conformance", *map(str, words)])
    return done.exit_code, done.stdout.splitlines(), done.stderr.splitlines()


@pytest.fixture
def unit(tmp_path: Path) -> list[str]:
    make_car_keys(tmp_path / "car.pem", tmp_path / "car.public.pem")
    return [
        "--link",
        "nats",
        "--vin",
        VIN,
        "--keys",
        f"{tmp_path}/car.public.pem",
        "--work",
        f"{tmp_path}/work",
    ]


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[Assignment]:
    """A unit that violates only the second rule it is tried on."""
    orders: list[Assignment] = []

    async def certify(order: Assignment, tell: Callable[[str], None]) -> AsyncIterator[RuleFinding]:
        orders.append(order)
        tell("waiting")
        for nth, rule in enumerate(order.rules):
            yield (
                RuleFinding(rule, RuleVerdict.FAIL, "no", 0)
                if nth == 1
                else RuleFinding(rule, RuleVerdict.PASS, "", 0)
            )

    monkeypatch.setattr(doorctl.conformance, "certify", certify)
    return orders


def test_the_list_needs_no_unit() -> None:
    code, lines, _ = doorctl_conformance("--list")
    assert code == 0
    assert [line.split()[1] for line in lines] == [rule.rule_id for rule in RULES]


def test_findings_a_summary_and_a_status(unit: list[str], played: list[Assignment], tmp_path: Path) -> None:
    code, lines, said = doorctl_conformance(*unit, "--json", tmp_path / "report.json", "--wait", "7")
    assert (code, said) == (1, ["waiting"])
    assert len(lines) == len(RULES) + 1
    assert lines[1].startswith("FAIL")
    assert lines[-1] == f"violated: {len(RULES) - 1} passed, 1 failed, 0 skipped"
    assert json.loads((tmp_path / "report.json").read_text())["failed"] == 1
    assert (played[0].wait_seconds, played[0].patience.comeback, played[0].account) == (7, 7, None)


@pytest.mark.parametrize(
    ("last", "status", "says"),
    [
        (RuleVerdict.PASS, 0, "certified"),
        (RuleVerdict.NOT_APPLICABLE, 0, "certified"),
        (RuleVerdict.SKIP, 3, "incomplete"),
    ],
)
def test_a_certificate_is_for_all_rules(
    unit: list[str], monkeypatch: pytest.MonkeyPatch, last: RuleVerdict, status: int, says: str
) -> None:
    async def certify(order: Assignment, _tell: Callable[[str], None]) -> AsyncIterator[RuleFinding]:
        for rule in order.rules:
            yield RuleFinding(rule, last if rule is RULES[-1] else RuleVerdict.PASS, "", 0)

    monkeypatch.setattr(doorctl.conformance, "certify", certify)
    code, lines, _ = doorctl_conformance(*unit)
    assert (code, lines[-1].partition(":")[0]) == (status, says)


def test_two_runs_at_once_on_one_bench(unit: list[str], tmp_path: Path) -> None:
    lock = BenchLock(tmp_path / "work")
    try:
        code, lines, said = doorctl_conformance(*unit)
    finally:
        lock.release()
    assert (code, lines, len(said)) == (2, [], 1)
    assert "another run" in said[0]
    assert "--work" in said[0]


def test_only_some_rules(unit: list[str], played: list[Assignment]) -> None:
    code, lines, _ = doorctl_conformance(*unit, "--only", "expired-never-acts")
    left_out = len(RULES) - 1
    assert (code, lines[-1]) == (3, f"incomplete: 1 passed, 0 failed, 0 skipped, {left_out} not chosen")
    assert [rule.rule_id for rule in played[0].rules] == ["expired-never-acts"]


def test_another_broker(unit: list[str], played: list[Assignment], tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    there = ["--broker", "tls://there:4222", "--user", "kit", "--password-file", f"{tmp_path}/password"]
    doorctl_conformance(*unit, *there)
    account = played[0].account
    assert account is not None
    assert (account.url, account.user, account.password) == ("tls://there:4222", "kit", "secret")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--vin", "short"], "--vin"),
        (["--only", "no-such-rule"], "no-such-rule"),
        (["--user", "kit"], "--broker"),
        (["--broker", "tls://there:4222"], "--password-file"),
        (["--broker", "b", "--user", "u", "--password-file", "/nowhere"], "/nowhere"),
        (["--keys", "/nowhere"], "/nowhere"),
    ],
)
def test_what_can_not_be_played_is_one_clear_line(unit: list[str], words: list[str], says: str) -> None:
    code, lines, said = doorctl_conformance(*unit, *words)
    assert (code, lines, len(said)) == (2, [], 1)
    assert says in said[0]


def test_no_broker_is_one_clear_line(unit: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    async def certify(_order: Assignment, _tell: Callable[[str], None]) -> AsyncIterator[RuleFinding]:
        raise BrokerError("no broker")
        yield

    monkeypatch.setattr(doorctl.conformance, "certify", certify)
    assert doorctl_conformance(*unit) == (2, [], ["doorctl: no broker"])


def test_it_says_what_is_needed() -> None:
    code, _, said = doorctl_conformance("--link", "mqtt")
    assert code == 2
    assert "--keys" in said[0]
