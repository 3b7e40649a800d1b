"""Who is to be told of what happens to a vehicle. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.access.domain.grants import DIAGNOSTICS_READ, STATUS_READ, GrantRole
from services.access.domain.permissions import effective_permissions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from services.access.domain.grants import Grant

MOST_PEOPLE = 200


@dataclass(frozen=True, slots=True)
class RightHolder:
    """What somebody with a right on a vehicle may be told of it."""

    principal: str
    is_owner: bool
    reads_status: bool
    reads_diagnostics: bool


def right_holders(
    grants: Iterable[Grant], locked: Collection[str], now: datetime, also: str = ""
) -> list[RightHolder]:
    """Return whoever has a right on the vehicle of these grants at this moment, owners first, MOST_PEOPLE at most, and
    `also` this one.

    Whose account is locked reads nothing; an owner is told of what concerns their ownership all the same.
    """
    of_people: dict[str, list[Grant]] = {}
    for grant in grants:
        of_people.setdefault(grant.asked.principal, []).append(grant)
    found = []
    for principal, held in of_people.items():
        permissions = effective_permissions(held, (), now)
        if not permissions.actions:
            continue
        may_read = permissions.actions if principal not in locked else frozenset()
        found.append(
            RightHolder(
                principal,
                permissions.role is GrantRole.OWNER,
                STATUS_READ in may_read,
                DIAGNOSTICS_READ in may_read,
            )
        )
    found.sort(key=lambda each: (not each.is_owner, each.principal))
    return found[:MOST_PEOPLE] + [each for each in found[MOST_PEOPLE:] if each.principal == also]
