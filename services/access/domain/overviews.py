"""What operators who look at accounts are shown. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.access.domain.accounts import Account, ApiKey
    from services.access.domain.grants import Grant


@dataclass(frozen=True, slots=True)
class AccountSummary:
    """An account in a list: how many grants have not ended, and how many API keys are good."""

    account: Account
    grants: int
    api_keys: int


@dataclass(frozen=True, slots=True)
class AccountOverview:
    """An account with the grants that have not ended, and all of its API keys."""

    account: Account
    grants: Sequence[Grant]
    api_keys: Sequence[ApiKey]
    known: bool = True
    """Whether anything is kept under this name, what has ended included."""
