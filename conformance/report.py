"""What was found, for people and for programs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from conformance.finding import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from conformance.finding import Finding, Rule

_VIN_TAIL = 6


def line(finding: Finding) -> str:
    """One rule."""
    said = finding.rule.sentence if finding.verdict is Verdict.PASS else finding.detail
    return f"{finding.verdict.value:<5} {finding.rule.rule_id:<34} {said}"


def listed(rule: Rule) -> str:
    """One rule that was not played."""
    return f"{rule.group:<14} {rule.rule_id:<34} {rule.sentence}"


def summary(findings: Sequence[Finding]) -> str:
    """The last line."""
    counts = Counter(finding.verdict for finding in findings)
    return f"{counts[Verdict.PASS]} passed, {counts[Verdict.FAIL]} failed, {counts[Verdict.SKIP]} skipped"


def is_conformant(findings: Sequence[Finding]) -> bool:
    """Whether no rule was violated. What was skipped was not tried."""
    return all(finding.verdict is not Verdict.FAIL for finding in findings)


def as_json(
    findings: Sequence[Finding], *, vin: str, link: str, key_id: bytes, began_at: datetime
) -> dict[str, Any]:
    """The whole report. The unit is known by its key; of its VIN only the tail is told."""
    counts = Counter(finding.verdict for finding in findings)
    return {
        "vinTail": vin[-_VIN_TAIL:],
        "unitKeyId": key_id.hex(),
        "link": link,
        "beganAt": began_at.isoformat(),
        "passed": counts[Verdict.PASS],
        "failed": counts[Verdict.FAIL],
        "skipped": counts[Verdict.SKIP],
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
