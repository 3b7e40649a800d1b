"""Rights that ended before their time, as the other services are told. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from services.access.domain.grants import GrantRole


class EndedKind(Enum):
    """What a principal had that has ended."""

    GRANT = "GRANT"
    ACCOUNT = "ACCOUNT"
    CREDENTIAL = "CREDENTIAL"
    CASE = "CASE"


@dataclass(frozen=True, slots=True)
class EndedRight:
    """A right that ended before its time, as the other services are told.

    No `vin` means every vehicle. `remaining` is what the principal may still do to the vehicle, and until when, in
    seconds since 1970.
    """

    kind: EndedKind
    at: datetime
    principal: str = ""
    vin: str = ""
    grant_id: str = ""
    credential: str = ""
    remaining: Mapping[str, float] = field(default_factory=dict)
    remaining_role: GrantRole | None = None
    """What the principal still is to the vehicle."""
    case_number: str = ""
