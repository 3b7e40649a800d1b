"""What was found, for people and for programs."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from conformance.finding import RuleVerdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from conformance.finding import Rule, RuleFinding

_VIN_TAIL = 6


class CertificationStatus(StrEnum):
    """What the run says of the unit."""

    CERTIFIED = "certified"
    """Every rule that applies was played, and none was violated."""
    VIOLATED = "violated"
    INCOMPLETE = "incomplete"
    """None was violated, and not every one was played: that is no certificate."""


def line(finding: RuleFinding) -> str:
    """Return one rule."""
    said = finding.rule.sentence if finding.verdict is RuleVerdict.PASS else finding.detail
    return f"{finding.verdict.value:<5} {finding.rule.rule_id:<34} {said}"


def listed(rule: Rule) -> str:
    """Return one rule that was not played."""
    return f"{rule.group:<14} {rule.rule_id:<34} {rule.sentence}"


def summary(findings: Sequence[RuleFinding], every_rule: Sequence[Rule]) -> str:
    """Return the last line."""
    counts = Counter(finding.verdict for finding in findings)
    told = (
        f"{certification_status(findings, every_rule)}: "
        f"{counts[RuleVerdict.PASS]} passed, {counts[RuleVerdict.FAIL]} failed, "
        f"{counts[RuleVerdict.SKIP]} skipped"
    )
    if counts[RuleVerdict.NOT_APPLICABLE]:
        told += f", {counts[RuleVerdict.NOT_APPLICABLE]} for another link"
    left_out = _left_out(findings, every_rule)
    return f"{told}, {left_out} not chosen" if left_out else told


def certification_status(findings: Sequence[RuleFinding], every_rule: Sequence[Rule]) -> CertificationStatus:
    """Return what was not played, be it skipped or left out of `every_rule`, is no pass."""
    verdicts = {finding.verdict for finding in findings}
    if RuleVerdict.FAIL in verdicts:
        return CertificationStatus.VIOLATED
    if RuleVerdict.SKIP in verdicts or _left_out(findings, every_rule):
        return CertificationStatus.INCOMPLETE
    return CertificationStatus.CERTIFIED


def _left_out(findings: Sequence[RuleFinding], every_rule: Sequence[Rule]) -> int:
    return len({rule.rule_id for rule in every_rule} - {finding.rule.rule_id for finding in findings})


def as_json(
    findings: Sequence[RuleFinding],
    every_rule: Sequence[Rule],
    *,
    vin: str,
    link: str,
    key_id: bytes,
    began_at: datetime,
) -> dict[str, Any]:
    """Return the whole report. The unit is known by its key; of its VIN only the tail is told."""
    counts = Counter(finding.verdict for finding in findings)
    return {
        "vinTail": vin[-_VIN_TAIL:],
        "unitKeyId": key_id.hex(),
        "link": link,
        "beganAt": began_at.isoformat(),
        "standing": certification_status(findings, every_rule).value,
        "passed": counts[RuleVerdict.PASS],
        "failed": counts[RuleVerdict.FAIL],
        "skipped": counts[RuleVerdict.SKIP],
        "notApplicable": counts[RuleVerdict.NOT_APPLICABLE],
        "notChosen": _left_out(findings, every_rule),
        "rules": [
            {
                "id": finding.rule.rule_id,
                "group": finding.rule.group,
                "sentence": finding.rule.sentence,
                "verdict": finding.verdict.value,
                "detail": finding.detail,
                "seconds": round(finding.seconds, 3),
            }
            for finding in findings
        ],
    }
