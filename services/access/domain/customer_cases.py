"""The call centre's cases, because of which agents act for customers. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from services.access.domain.grants import RightRefusedError

if TYPE_CHECKING:
    from datetime import datetime

    from services.access.domain.accounts import Caller

MOST_LISTED = 200


class CaseRule(Enum):
    """Whose word it is that a case is open."""

    VOUCHED = "vouched"
    """The token's issuer vouches for it; one that is known here as closed, or as another's, is not."""
    KEPT = "kept"
    """It must have been opened here."""


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


def check_open(case: CustomerCase | None, caller: Caller, rule: CaseRule) -> None:
    """Raise CaseNotOpenError unless the agent may act because of it. `case` is what is kept under its number."""
    if case is None:
        if rule is CaseRule.KEPT:
            raise CaseNotOpenError
        return
    vins = {case.asked.vin} if case.asked.vin else caller.only_vins
    if case.closed_at is not None or case.asked.customer != caller.subject or vins != caller.only_vins:
        raise CaseNotOpenError
