"""What this room does, one function per intention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from services.enrolment.domain import Admission, Caller, Enrolment, NotEnrolled, admission

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime


class Register(Protocol):
    """The record."""

    async def find(self, vin: str) -> Enrolment | None:
        """The vehicle's enrolment, revoked or not."""

    async def put(self, enrolment: Enrolment) -> None:
        """Enrol, in place of what was there. Raises CertificateTaken."""

    async def revoke(self, vin: str, at: datetime) -> Enrolment | None:
        """The enrolment as it is revoked now; what was revoked keeps its time. None: not enrolled."""

    async def all(self) -> Sequence[Enrolment]:
        """Every enrolment, by VIN."""


class Connections(Protocol):
    """The vehicles' live connections at the broker."""

    async def cut(self, vin: str) -> int:
        """End all of the vehicle's; how many. Raises BrokerSilent."""


class BrokerSilent(Exception):
    """The broker did not answer: connections may live on."""


@dataclass(frozen=True, slots=True)
class Office:
    """What the use cases work with. `now` gives aware times."""

    register: Register
    connections: Connections
    now: Callable[[], datetime]


async def admit(office: Office, caller: Caller) -> Admission:
    """Let a vehicle in. Raises NotAdmitted."""
    return admission(caller, await office.register.find(caller.vin), office.now())


async def enrol(office: Office, vin: str, fingerprint: str) -> Enrolment:
    """From now on this certificate, and no other, is the vehicle's. Raises CertificateTaken, BrokerSilent."""
    before = await office.register.find(vin)
    enrolment = Enrolment(vin, fingerprint, office.now())
    await office.register.put(enrolment)
    if before is not None and before.fingerprint != fingerprint:
        await office.connections.cut(vin)
    return enrolment


async def revoke(office: Office, vin: str) -> tuple[Enrolment, int]:
    """The vehicle is not let in any more; how many live connections were cut. Raises NotEnrolled, BrokerSilent.

    Doing it again cuts again.
    """
    enrolment = await office.register.revoke(vin, office.now())
    if enrolment is None:
        raise NotEnrolled(vin)
    return enrolment, await office.connections.cut(vin)


async def enrolments(office: Office) -> Sequence[Enrolment]:
    """All of them."""
    return await office.register.all()
