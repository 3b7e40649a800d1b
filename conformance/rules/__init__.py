"""All rules, in the order in which they are played: what changes the unit for good comes late.

Reboots come early, so that what a reboot left unacknowledged has come again by the time that is looked at.
"""

from __future__ import annotations

from conformance.rules import (
    budget,
    cancellations,
    checks,
    delivery,
    doors,
    encoding,
    forged,
    keys,
    manifests,
    orders,
    reports,
    session,
    settings,
    sleep,
    validity,
    waiting,
)

GROUPS = (
    session.GROUP,
    orders.GROUP,
    doors.GROUP,
    delivery.GROUP,
    waiting.GROUP,
    sleep.GROUP,
    validity.GROUP,
    checks.GROUP,
    encoding.GROUP,
    forged.GROUP,
    budget.GROUP,
    cancellations.GROUP,
    settings.GROUP,
    keys.GROUP,
    manifests.GROUP,
    reports.GROUP,
)

RULES = tuple(rule for group in GROUPS for rule in group.rules)
