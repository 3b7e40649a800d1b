"""What was decided on a request of the public."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.access.domain.accounts import Caller


@dataclass(frozen=True, slots=True)
class AccessDecision:
    """A request that was allowed or refused.

    `caller` is None where nobody proved to be anybody, and `vin` empty where it was not read. `refused_for` is the
    reason by its code, empty where it was allowed; `rule` what decided: a role, a line of the step-up table.
    `has_right` is whether the caller was seen to have a right on the vehicle: refused before, nobody knows.
    """

    action: str
    correlation_id: str
    network: str = ""
    caller: Caller | None = None
    vin: str = ""
    mode: str = ""
    rule: str = ""
    refused_for: str = ""
    has_right: bool = False
