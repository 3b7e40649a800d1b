"""The form of a VIN, checked where one comes in: in a certificate, or in what the enrolment starts with."""

from __future__ import annotations

from protocol.subjects import is_vin
from services.enrolment.domain import NotAVinError


def checked_vin(vin: str) -> str:
    """`vin` itself. Raises NotAVinError."""
    if not is_vin(vin):
        raise NotAVinError("a VIN has 17 characters, digits and capital letters without I, O and Q")
    return vin
