"""Vehicles as the platform's senders: whose message is whose, and how much each may say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.subjects import vin_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.telematics.quotas import VehicleQuotas

_PLACES = {"vehicle": slice(8, 25), "vehicle_status": slice(17, 34)}
"""Where the VIN stands in a subject that begins so: vehicle.<VIN>.evt.<kind>, vehicle_status.<n>.<VIN>."""


def place_of(pattern: str) -> slice | None:
    """Return where the VIN stands in subjects of this pattern; None when they are not vehicles'."""
    return _PLACES.get(pattern.partition(".")[0])


def sender_of(subject: str) -> str:
    """Return the VIN in a subject; the empty string where there is none, or none that could be one."""
    try:
        return vin_of(subject)
    except ValueError:
        return ""


class VehicleSenders:
    """Vehicles, each within its quotas: `quotas` makes those of one consumer."""

    def __init__(self, quotas: Callable[[], VehicleQuotas]) -> None:
        self._quotas = quotas

    def place_of(self, pattern: str) -> slice | None:
        """Return where the VIN stands in subjects of this pattern; None when they are not vehicles'."""
        return place_of(pattern)

    def quotas(self) -> VehicleQuotas:
        """Return new quotas, for one consumer."""
        return self._quotas()
