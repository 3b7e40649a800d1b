"""What deciding about a request needs of the outside, and of the request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from services.access.domain.accounts import Caller
    from services.access.domain.authorization import Purpose
    from services.access.domain.permissions import EffectivePermissions
    from services.access.domain.rates import RateState

Proof_contra = TypeVar("Proof_contra", contravariant=True)
Proof_co = TypeVar("Proof_co", covariant=True)


class AccessRequest(Protocol[Proof_co]):
    """A request of the public, as far as access depends on it. Its parts are read when they are asked for, because
    a stranger is not told what is wrong with them.
    """

    @property
    def authorization(self) -> str | None:
        """The header with the bearer."""

    @property
    def proof(self) -> Proof_co:
        """What it says of who holds the key that the bearer may be bound to."""

    @property
    def network(self) -> str:
        """Where it comes from, as one household or host; empty when it is not known."""

    @property
    def country(self) -> str:
        """From which country it comes; empty where that is not given."""

    @property
    def action(self) -> str:
        """What it needs the right to."""

    @property
    def service(self) -> str:
        """The service that carries it out."""

    @property
    def limit_class(self) -> str | None:
        """The rate it counts against; None for what nobody has to wait for."""

    @property
    def step_up(self) -> str:
        """The line of the step-up table that it needs; empty where any sign-in will do."""

    @property
    def step_up_decided_by_service(self) -> bool:
        """Whether only the service that carries it out can tell."""

    @property
    def closed_to_agents(self) -> bool:
        """Whether nobody may ask for it who acts for somebody else."""

    @property
    def about_caller(self) -> bool:
        """Whether it is about the person who calls, and no vehicle."""

    @property
    def open_to_keys(self) -> bool:
        """Whether an API key may ask for it, where it is about who calls."""

    @property
    def watches_people(self) -> bool:
        """Whether it is about people's accounts, and no vehicle."""

    @property
    def changes(self) -> bool:
        """Whether it is to change anything."""

    @property
    def correlation_id(self) -> str:
        """The id that it is answered under."""

    @property
    def named_id(self) -> str | None:
        """The id that the caller gave it; None where it gave none."""

    @property
    def certificate(self) -> str:
        """The name of the team's certificate it came under; empty where there is none."""

    def vin(self) -> str:
        """Return its vehicle, and an empty text where it is about none. Raises Refusal when it names none."""

    def mode(self, vin: str) -> str:
        """Check what it asks for, and return the mode that needs to stand in its capability. Raises Refusal."""


class Callers(Protocol[Proof_contra]):
    """Who is behind a bearer."""

    async def caller_of(self, authorization: str | None, proof: Proof_contra) -> tuple[bytes, Caller]:
        """Return the bearer's digest and its caller. Raises Refusal, and StorageUnavailableError."""

    def invalidate(self, credential: str) -> None:
        """Know nobody by this credential any more; an empty one means all."""


class Permissions(Protocol):
    """What callers are to vehicles."""

    async def of(self, subject: str, actor: str, vin: str) -> EffectivePermissions:
        """Return what `subject`, for whom `actor` acts, is to `vin`. Raises StorageUnavailableError."""

    def invalidate(self) -> None:
        """Ask the record anew for everything."""


class Cases(Protocol):
    """Because of what agents act."""

    async def check(self, caller: Caller) -> None:
        """Raise CaseNotOpenError unless the agent's case is open. Raises StorageUnavailableError."""

    def invalidate(self) -> None:
        """Ask the record anew for everything."""


class Rates(Protocol):
    """How often somebody may ask something."""

    def take(self, limit_class: str, *who: str) -> RateState | None:
        """Count one request, and return what is left; None where there is no limit. Raises Refusal RATE_LIMITED when
        there were too many.
        """


class RequestLog(Protocol):
    """The requests that were counted under an id of their caller's."""

    def has(self, *which: str) -> bool:
        """Return whether this request was counted."""

    def note(self, *which: str) -> None:
        """Remember that it was counted."""


class Capabilities(Protocol):
    """What the services behind accept of a caller."""

    def capability(
        self,
        bearer_digest: bytes,
        caller: Caller,
        vin: str,
        permissions: EffectivePermissions,
        purpose: Purpose,
        certificate: str = "",
    ) -> str:
        """Return a capability for this caller, vehicle and purpose."""

    def invalidate(self, principal: str, credential: str) -> None:
        """Make anew what concerns this principal or this credential; with neither, everything."""
