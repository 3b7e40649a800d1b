"""The call centre's cases, because of which agents act for customers. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from services.access.domain.grants import RightRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from services.access.domain.accounts import Account, Caller
    from services.access.domain.grants import GrantRole

MOST_LISTED = 200


class CaseRule(Enum):
    """Whose word it is that a case is open."""

    VOUCHED = "vouched"
    """The token's issuer vouches for it; one that is known here as closed, or as another's, is not."""
    KEPT = "kept"
    """It must have been opened here."""


MOST_VEHICLES = 100
"""So many of a customer's vehicles are shown with a case."""


class CustomerCaseUnknownError(Exception):
    """There is no open case of this number that its reader may see."""


class CaseConflictError(RightRefusedError):
    """A case of this number is about something else, or was closed."""


class CaseNotOpenError(Exception):
    """The case because of which an agent acts is not open for this customer and vehicle."""


@dataclass(frozen=True, slots=True)
class NewCase:
    """A case as it is opened. No `vin` means any of the customer's vehicles."""

    case_number: str
    customer: str
    vin: str = ""


@dataclass(frozen=True, slots=True)
class CustomerCase:
    """A case as it is kept. One that was closed and never opened here has no customer."""

    asked: NewCase
    opened_by: str = ""
    opened_at: datetime | None = None
    closed_by: str = ""
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CaseReader:
    """Who looks at a case: an agent at their own, for whom `customer`, `case_number` and `vin` are their token's; an
    employee, of whom these are empty, at any.
    """

    customer: str = ""
    case_number: str = ""
    vin: str = ""


@dataclass(frozen=True, slots=True)
class CaseVehicle:
    """A vehicle of the customer: `role` is what they are to it now."""

    vin: str
    role: GrantRole


@dataclass(frozen=True, slots=True)
class CaseOverview:
    """An open case, with its customer's account and vehicles."""

    case: CustomerCase
    account: Account
    vehicles: Sequence[CaseVehicle]


def case_for(reader: CaseReader, case_number: str, kept: CustomerCase | None, rule: CaseRule) -> CustomerCase:
    """Return the case of this number as its reader may see it; `kept` is what is kept under the number. Raise
    CustomerCaseUnknownError. One that the issuer of the agent's token vouches for is about the token's vehicle.
    """
    if reader.case_number not in {"", case_number}:
        raise CustomerCaseUnknownError
    if kept is None and reader.customer and rule is CaseRule.VOUCHED:
        return CustomerCase(NewCase(case_number, reader.customer, reader.vin))
    if kept is None or kept.closed_at is not None or reader.customer not in {"", kept.asked.customer}:
        raise CustomerCaseUnknownError
    return kept


def check_open(case: CustomerCase | None, caller: Caller, rule: CaseRule) -> None:
    """Raise CaseNotOpenError unless the agent may act because of it. `case` is what is kept under its number."""
    if case is None:
        if rule is CaseRule.KEPT:
            raise CaseNotOpenError
        return
    vins = {case.asked.vin} if case.asked.vin else caller.only_vins
    if case.closed_at is not None or case.asked.customer != caller.subject or vins != caller.only_vins:
        raise CaseNotOpenError
