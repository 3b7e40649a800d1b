"""What this service does, one function per intention."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from services.enrolment.domain import (
    Arrivals,
    BrokerAdmission,
    ConnectingVehicle,
    Enrolment,
    NotAdmittedError,
    NotEnrolledError,
    PublicKeys,
    ShutOutVehicles,
    admission,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime


class EnrolmentRecord(Protocol):
    """The record."""

    async def find(self, vin: str) -> Enrolment | None:
        """Return the vehicle's enrolment, revoked or not."""

    async def put(self, enrolment: Enrolment) -> None:
        """Enrol, in place of what was there. Raises CredentialInUseError."""

    async def revoke(self, vin: str, at: datetime) -> Enrolment | None:
        """Return the enrolment as it is revoked now; what was revoked keeps its time. None: not enrolled."""

    async def page(self, limit: int, after: str = "") -> Sequence[Enrolment]:
        """At most `limit` enrolments, revoked or not, by VIN, of those after this VIN."""

    async def valid_keys(self, vins: Sequence[str]) -> Mapping[str, PublicKeys]:
        """Return the keys of those that have keys and are not revoked, by VIN."""


@dataclass(frozen=True, slots=True)
class Cut:
    """How many of a vehicle's connections were closed, and how many are left."""

    closed: int
    left: int


class Connections(Protocol):
    """The vehicles' live connections at the broker."""

    async def cut(self, vin: str) -> int:
        """End all of the vehicle's; how many. Raises BrokerSilentError."""

    async def keep_newest(self, vin: str, most: int) -> Cut:
        """End the vehicle's oldest connections, so that at most `most` are left. Raises BrokerSilentError."""


class KeyChanges(Protocol):
    """Every service that remembers vehicles' keys."""

    async def publish(self, *vins: str) -> None:
        """Have them forget these vehicles', once the change is recorded. Raises BrokerSilentError.

        A hint: who does not hear it remembers for some minutes longer.
        """


class BrokerSilentError(Exception):
    """The broker did not answer: connections may live on, and keys be remembered."""


@dataclass(frozen=True, slots=True)
class EnrolmentDependencies:
    """What the use cases work with. `now` gives aware times."""

    register: EnrolmentRecord
    connections: Connections
    changes: KeyChanges
    now: Callable[[], datetime]
    shut_out: ShutOutVehicles = field(default_factory=ShutOutVehicles)
    arrivals: Arrivals = field(default_factory=Arrivals)


async def admit(deps: EnrolmentDependencies, caller: ConnectingVehicle) -> BrokerAdmission:
    """Let a vehicle in. Raises NotAdmittedError."""
    if deps.shut_out.holds(caller.vin, deps.now()):
        raise NotAdmittedError("the vehicle did harm at the broker, and is shut out for a while")
    admitted = admission(caller, await deps.register.find(caller.vin), deps.now())
    if not deps.arrivals.take(caller.vin, deps.now()):
        raise NotAdmittedError("the vehicle comes too often")
    return admitted


async def enrol(
    deps: EnrolmentDependencies,
    vin: str,
    fingerprint: str,
    keys: PublicKeys,
    certificate_ends_at: datetime | None = None,
) -> Enrolment:
    """From now on this certificate and these keys, and no others, are the vehicle's.

    Raises CredentialInUseError, BrokerSilentError. Doing it again makes good what the broker's silence left undone.
    """
    before = await deps.register.find(vin)
    enrolment = Enrolment(vin, fingerprint, deps.now(), keys=keys, certificate_ends_at=certificate_ends_at)
    await deps.register.put(enrolment)
    deps.shut_out.remove(vin)
    await deps.changes.publish(vin)
    if before is not None:  # it comes back at once, if it may
        await deps.connections.cut(vin)
    return enrolment


async def revoke(deps: EnrolmentDependencies, vin: str) -> tuple[Enrolment, int]:
    """Revoke a vehicle, which is neither let in nor accepted any more; return how many live connections were cut.

    Raises NotEnrolledError, BrokerSilentError. Doing it again tells and cuts again.
    """
    enrolment = await deps.register.revoke(vin, deps.now())
    if enrolment is None:
        raise NotEnrolledError(vin)
    await deps.changes.publish(vin)
    return enrolment, await deps.connections.cut(vin)


async def enrolments(deps: EnrolmentDependencies, limit: int, after: str) -> tuple[Sequence[Enrolment], str]:
    """At most `limit` of all, by VIN, after this one; with them where to go on, empty when that was all."""
    found = await deps.register.page(limit + 1, after)
    return found[:limit], found[limit - 1].vin if len(found) > limit else ""


async def vehicle_keys(register: EnrolmentRecord, vins: Sequence[str]) -> Mapping[str, PublicKeys]:
    """Return the keys that count, by VIN: none of who is not enrolled, is revoked, or has none."""
    return await register.valid_keys(vins)
