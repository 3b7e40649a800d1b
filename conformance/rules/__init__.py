"""All rules, in the order in which they are played: what changes the unit for good comes late.

Reboots come early, so that what a reboot left unacknowledged has come again by the time that is looked at.
"""

from __future__ import annotations

from conformance.rules import (
    cancellations,
    delivery,
    forged,
    keys,
    orders,
    reports,
    session,
    settings,
    validity,
)

GROUPS = (
    session.GROUP,
    orders.GROUP,
    delivery.GROUP,
    validity.GROUP,
    forged.GROUP,
    cancellations.GROUP,
    settings.GROUP,
    keys.GROUP,
    reports.GROUP,
)

RULES = tuple(rule for group in GROUPS for rule in group.rules)
