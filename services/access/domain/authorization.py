"""What a caller may ask for: decided from what it is to the vehicle and from what its bearer allows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.access.domain.grants import Caller
    from services.access.domain.permissions import EffectivePermissions


class DenialReason(Enum):
    """Why a caller may not do something to a vehicle."""

    ACCOUNT_LOCKED = "ACCOUNT_LOCKED"
    VEHICLE_NOT_FOUND = "VEHICLE_NOT_FOUND"
    """The same for a vehicle that there is and for one that there is not."""
    ACTION_NOT_GRANTED = "ACTION_NOT_GRANTED"
    NOT_NOW = "NOT_NOW"
    """A grant allows it that is suspended, not accepted yet, or outside of its hours."""
    OUT_OF_SCOPE = "OUT_OF_SCOPE"


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a capability is for: one action of one service, in a mode where that was asked for."""

    service: str
    action: str
    mode: str = ""


def denial_of(
    permissions: EffectivePermissions, caller: Caller, vin: str, action: str
) -> DenialReason | None:
    """Return why the caller may not do `action` to `vin`; None when it may."""
    if permissions.locked:
        return DenialReason.ACCOUNT_LOCKED
    if not permissions.actions or caller.only_vin not in {None, vin}:
        return DenialReason.VEHICLE_NOT_FOUND
    if action not in permissions.actions:
        return DenialReason.NOT_NOW if action in permissions.dormant else DenialReason.ACTION_NOT_GRANTED
    if caller.scope is not None and action not in caller.scope:
        return DenialReason.OUT_OF_SCOPE
    return None
