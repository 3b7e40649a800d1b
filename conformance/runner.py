"""Plays the rules on one unit, one after the other; no rule can hang, and none spoils the next."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import httpx
import nats.errors
from nats.js.errors import APIError

from conformance.finding import (
    NotApplicableError,
    RuleFinding,
    RuleSkippedError,
    RuleVerdict,
    RuleViolatedError,
    require,
)
from conformance.throwaway_broker import BrokerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from conformance.finding import Rule
    from conformance.unit import Unit

RULE_SECONDS = 300
_REJECTED = "it said what no cloud believes"


async def play(unit: Unit, rules: Iterable[Rule]) -> AsyncIterator[RuleFinding]:
    """Yield a finding for each, as soon as it is there."""
    for rule in rules:
        began = time.monotonic()
        verdict, detail = await _judge(unit, rule)
        yield RuleFinding(rule, verdict, detail, time.monotonic() - began)


async def _judge(unit: Unit, rule: Rule) -> tuple[RuleVerdict, str]:
    rejected = len(unit.cloud.rejected)
    try:
        async with asyncio.timeout(RULE_SECONDS) as limit:
            await unit.at_rest()
            await rule.script(unit)
            new = unit.cloud.rejected[rejected:]
            require(not new, f"{_REJECTED}: {''.join(new[:1])}")
    except RuleSkippedError as skipped:
        return RuleVerdict.SKIP, str(skipped)
    except NotApplicableError as elsewhere:
        return RuleVerdict.NOT_APPLICABLE, str(elsewhere)
    except RuleViolatedError as violated:
        why = str(violated)
        new = unit.cloud.rejected[rejected:]
        if new and not why.startswith(_REJECTED):
            why = f"{why} ({_REJECTED}: {new[0]})"
    except (TimeoutError, nats.errors.Error, APIError, BrokerError) as error:
        # The broker's client has timeouts of its own.
        why = f"not over within {RULE_SECONDS} s" if limit.expired() else f"the broker: {error!r}"
    except httpx.HTTPError as error:
        why = f"the control interface: {error!r}"
    else:
        return RuleVerdict.PASS, ""
    return RuleVerdict.FAIL, why
