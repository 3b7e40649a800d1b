"""Plays mutants on the conformance kit: each must be found out by the rules that it names.

`python -m tests.mutants.play [NAME ...]` plays all of them, or these, two at a time. Status 1 when one got away.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from conformance.certification import Assignment, certify
from conformance.finding import RuleVerdict
from conformance.rules import RULES
from conformance.unit import UnitTimeouts
from tests.mutants.catalogue import MUTANTS
from tests.support.ports import free_port

if TYPE_CHECKING:
    from conformance.finding import Rule, RuleFinding
    from tests.mutants.mutant import Mutant

VIN = "KMHSH81C7LU123456"
GOOD = "good-order-acts"
AT_ONCE = 2
PATIENCE = UnitTimeouts(answer=4, comeback=12, quiet=0.1, pace=0.16)
WAIT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Played:
    """`escaped` says what was not found, and is empty for a mutant that was found out."""

    mutant: Mutant
    escaped: str
    seconds: float


async def play(mutant: Mutant, folder: Path) -> Played:
    """Makes the unit, and has the kit judge it. `folder` is empty."""
    began = time.monotonic()
    private, public = folder / "car.pem", folder / "car.public.pem"
    make_keys = [sys.executable, "-m", "vehicle", "keys", "--out", private, "--public", public]
    await asyncio.to_thread(subprocess.run, make_keys, check=True, env={"PYTHONPATH": ".:gen"})
    order = Assignment(
        vin=VIN,
        link=mutant.link,
        unit_keys=public,
        work=folder / "work",
        rules=_rules(mutant),
        start=f"env PYTHONPATH=.:gen {sys.executable} -m tests.mutants {mutant.name}",
        control=f"http://127.0.0.1:{free_port()}",
        private_keys=private,
        wait_seconds=WAIT_SECONDS,
        patience=PATIENCE,
    )
    findings = [finding async for finding in certify(order, lambda _said: None)]
    return Played(mutant, "; ".join(_escapes(mutant, findings)), time.monotonic() - began)


def _rules(mutant: Mutant) -> list[Rule]:
    played = {*mutant.fails, *mutant.besides}
    good = [rule for rule in RULES if rule.rule_id == GOOD] if mutant.stays_good else []
    return [*(rule for rule in RULES if rule.rule_id in played), *good]


def _escapes(mutant: Mutant, findings: list[RuleFinding]) -> list[str]:
    escapes = []
    for finding in findings:
        rule_id = finding.rule.rule_id
        told = f"{rule_id}: {finding.verdict} {finding.detail}"
        if rule_id in mutant.fails and finding.verdict is not RuleVerdict.FAIL:
            escapes.append(told)
        if rule_id == GOOD and mutant.stays_good and finding.verdict is not RuleVerdict.PASS:
            escapes.append(told)
    played = {finding.rule.rule_id for finding in findings}
    escapes += [f"{rule_id}: no such rule was played" for rule_id in mutant.fails if rule_id not in played]
    return escapes


async def play_all(mutants: list[Mutant]) -> list[Played]:
    """Some at a time; a line for each on standard output."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(mutant: Mutant) -> Played:
        async with turns:
            with tempfile.TemporaryDirectory(prefix=f"{mutant.name}-") as folder:
                played = await play(mutant, Path(folder))
        told = f"ESCAPED {mutant.name}: {played.escaped}" if played.escaped else f"caught  {mutant.name}"
        print(f"{told} ({played.seconds:.1f} s)", flush=True)  # noqa: T201  # a command that talks to a person
        return played

    return list(await asyncio.gather(*(one(mutant) for mutant in mutants)))


def main(names: list[str]) -> None:
    """The command."""
    unknown = set(names) - MUTANTS.keys()
    if unknown:
        raise SystemExit(
            f"no mutant is called {min(unknown)}: PYTHONPATH=.:gen .venv/bin/python -m tests.mutants lists them"
        )
    played = uvloop.run(play_all([one for one in MUTANTS.values() if not names or one.name in names]))
    escaped = [one.mutant.name for one in played if one.escaped]
    print(f"{len(played) - len(escaped)} caught, {len(escaped)} escaped")  # noqa: T201  # see above
    raise SystemExit(1 if escaped else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
