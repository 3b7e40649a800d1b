"""One run: a broker, the unit provisioned and greeted, and the rules played on it. Wiring only."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from conformance.bench import BenchLock, IssuedHashes
from conformance.cloud import Cloud
from conformance.finding import RuleFinding, RuleVerdict, RuleViolatedError
from conformance.hands import Hands, UnitProcess
from conformance.keys import KitCloudKeys, read_unit_keys
from conformance.link import BrokerLogin, UnitLink
from conformance.provision import Access, Provision
from conformance.rules import RULES
from conformance.rules.session import HELLO
from conformance.runner import play
from conformance.throwaway_broker import CLOUD, LOOPBACK, UNIT, ThrowawayBroker
from conformance.unit import Unit, UnitTimeouts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from conformance.finding import Rule


@dataclass(frozen=True, slots=True)
class Assignment:
    """What is to be certified, and how. `account` is None for a broker of the kit's own, on `host`."""

    vin: str
    link: str
    unit_keys: Path
    work: Path
    rules: Sequence[Rule]
    account: BrokerLogin | None = None
    host: str = LOOPBACK
    start: str | None = None
    reboot: str | None = None
    control: str | None = None
    private_keys: Path | None = None
    wait_seconds: float = 60.0
    patience: UnitTimeouts = field(default_factory=UnitTimeouts)


async def certify(assignment: Assignment, tell: Callable[[str], None]) -> AsyncIterator[RuleFinding]:
    """Yield a finding for each rule. `tell` is for the person at the bench.

    Raises BenchTakenError, KeyFileError, BrokerError, StartError, OSError before the first.
    """
    unit_keys = read_unit_keys(assignment.unit_keys)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(BenchLock(assignment.work).release)
        keys = KitCloudKeys(assignment.work / "cloud")
        issued = IssuedHashes(assignment.work / "cloud" / "issued")
        cloud = Cloud(assignment.vin, keys, unit_keys, lambda: time.monotonic_ns() // 1_000_000, issued)
        broker = None
        account = assignment.account
        if account is None:
            broker = ThrowawayBroker(assignment.work / "broker", assignment.vin, assignment.host)
            broker.clear()
            stack.callback(broker.kill)
            await broker.start()
            account = broker_account(broker)
        hands = Hands(assignment.vin, assignment.control, assignment.reboot, tell)
        stack.push_async_callback(hands.close)
        over_mqtt = assignment.link == "mqtt"
        unit = Unit(cloud, hands, assignment.patience, broker, over_mqtt=over_mqtt)
        link = UnitLink(account, assignment.vin, unit.receive, over_mqtt=over_mqtt)
        stack.push_async_callback(link.close)
        await link.open()
        await link.clear_orders()
        unit.attach(link)
        access = _access(assignment.link, account, broker)
        provision = Provision.write(
            assignment.work / "unit",
            assignment.vin,
            keys,
            access,
            assignment.private_keys,
            assignment.control,
        )
        for line in provision.described(access):
            tell(line)
        process = None
        if assignment.start is not None:
            process = UnitProcess(assignment.start, provision.environment, assignment.work / "unit.log")
            stack.push_async_callback(process.stop)
            await process.start()
        tell(f"waiting for the unit's hello for up to {assignment.wait_seconds:g} s")
        try:
            await _greeted(unit, assignment.wait_seconds)
        except RuleViolatedError as silent:
            why = process.ended if process and process.ended else str(silent)
            for finding in _nothing_received(assignment.rules, why, cloud.rejected):
                yield finding
            return
        async for finding in play(unit, assignment.rules):
            yield finding


def broker_account(broker: ThrowawayBroker) -> BrokerLogin:
    """Return the cloud's, on the kit's own broker."""
    return BrokerLogin(broker.url, CLOUD, broker.password_file.read_text(encoding="ascii"))


def _access(link: str, account: BrokerLogin, broker: ThrowawayBroker | None) -> Access:
    if broker is None:
        return Access(link, account.url, ca=account.ca)
    if link == "mqtt":
        return Access(link, broker.mqtt_url, f"{UNIT}-mqtt", broker.unit_password_file)
    return Access(link, broker.url, UNIT, broker.unit_password_file)


async def _greeted(unit: Unit, seconds: float) -> None:
    """Wait until the unit said hello and has the newest manifest, as far as it takes it."""
    await unit.until(lambda: bool(unit.hellos()), "a hello that can be believed", seconds)
    await unit.catch_up()


def _nothing_received(rules: Sequence[Rule], why: str, rejected: Sequence[str]) -> list[RuleFinding]:
    """Without a hello nothing can be tried: that is one rule violated, and no word on the others."""
    detail = f"{why} ({rejected[0]})" if rejected else why
    findings = [RuleFinding(rule, RuleVerdict.SKIP, "no hello", 0) for rule in rules if rule.rule_id != HELLO]
    hello = next(rule for rule in RULES if rule.rule_id == HELLO)
    return [RuleFinding(hello, RuleVerdict.FAIL, detail, 0), *findings]
