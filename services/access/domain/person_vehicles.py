"""Which vehicles a person has. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.access.domain.permissions import effective_permissions

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from services.access.domain.grants import Grant, GrantRole

MOST_VEHICLES = 100
"""So many are listed."""


@dataclass(frozen=True, slots=True)
class PersonVehicle:
    """A vehicle of a person: the highest of their rights, and what all of them allow."""

    vin: str
    role: GrantRole
    actions: frozenset[str]


def vehicles_of(grants: Iterable[Grant], now: datetime) -> list[PersonVehicle]:
    """Return the vehicles on which these grants of one person allow something now, by VIN."""
    by_vin: dict[str, list[Grant]] = {}
    for grant in grants:
        by_vin.setdefault(grant.asked.vin, []).append(grant)
    amounts = ((vin, effective_permissions(held, (), now)) for vin, held in sorted(by_vin.items()))
    return [
        PersonVehicle(vin, amount.role, amount.actions) for vin, amount in amounts if amount.role is not None
    ]
