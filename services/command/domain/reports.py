"""What vehicles report of commands, once it is verified."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from services.command.domain.commands import Ending

EXPIRED = "EXPIRED"
"""The fault of an order whose time was up when the vehicle got it, by the vehicle protocol's name."""


@dataclass(frozen=True, slots=True)
class SignedEvidence:
    """What a vehicle signed, as it came, and the SHA-256 of the order that it answers, as the vehicle was given it."""

    order_sha256: bytes
    signed: bytes

    @property
    def sha256(self) -> bytes:
        """Return the SHA-256 of what was signed."""
        return hashlib.sha256(self.signed).digest()


@dataclass(frozen=True, slots=True)
class CommandReceipt:
    """The vehicle has a command."""

    message_id: str
    vin: str
    command_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ReportedResult:
    """The vehicle says how a command ended."""

    message_id: str
    vin: str
    command_id: str
    ending: Ending


@dataclass(frozen=True, slots=True)
class CancellationDecision:
    """The vehicle's signed response to a cancellation. `ending` is the command's, when that follows from it."""

    message_id: str
    vin: str
    command_id: str
    cancel_id: str
    at: datetime
    too_late: bool
    ending: Ending | None


@dataclass(frozen=True, slots=True)
class OrderRefusal:
    """The vehicle refused an order before anything else was asked. `message_id` is its answer's, `order_id` the
    command's or the cancellation's. With `again` the same order, signed anew, may be taken. `signed_at`: the copy.
    """

    message_id: str
    vin: str
    command_id: str
    order_id: str
    fault: str
    again: bool
    at: datetime
    signed_at: datetime | None = field(default=None, compare=False)


Report = CommandReceipt | ReportedResult | CancellationDecision | OrderRefusal
