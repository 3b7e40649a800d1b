"""Sessions at the edge and behind it: opened by a bearer or a ticket, and used by the gateway for its readers, or once
for a vehicle's event stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.access.adapters.denials import refusal_of_denial, refusal_of_sign_in
from services.access.adapters.limits import UNKNOWN, RateLimitError
from services.access.adapters.session_issuer import caller_of
from services.access.domain.customer_cases import CaseNotOpenError
from services.access.domain.tickets import EventTicketUnknownError
from services.access.usecases import sessions as usecases
from services.access.usecases.authorization import AccessDeniedError
from services.access.usecases.sessions import WatchRequest
from services.platform import errors
from services.platform.errors import Refusal
from services.platform.step_up import CHALLENGE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from services.access.adapters.session_issuer import SessionIssuer
    from services.access.domain.accounts import Caller
    from services.access.usecases.authorization import RequestAuthorizer
    from services.access.usecases.sessions import EventTickets, SessionRecord
    from services.platform.capability import CapabilityVerifier
    from services.platform.session import Session

UPDATES_READ = "door.updates.read"
_SERVED_BY = "status"


class SessionCallers:
    """Reads from sessions whose they are, while what they signed in with is good. `trusts` says of a credential whether
    it is not known to be withdrawn, `is_revoked` of a certificate's name whether it is revoked.
    """

    def __init__(
        self,
        verifier: CapabilityVerifier,
        record: SessionRecord,
        trusts: Callable[[str], bool],
        is_revoked: Callable[[str], bool],
        now: Callable[[], datetime],
    ) -> None:
        self._is_revoked = is_revoked
        self._verifier = verifier
        self._record = record
        self._trusts = trusts
        self._now = now

    async def caller_of(self, token: str) -> tuple[Session, bytes, Caller]:
        """Return the session, its digest and whose it is. Raises Refusal TOKEN_INVALID or TOKEN_EXPIRED,
        StorageUnavailableError.
        """
        session = self._verifier.session(token)
        digest, caller = caller_of(session)
        if self._is_revoked(session.certificate) or not await usecases.is_in_force(
            self._record, self._trusts, caller, at=self._now()
        ):
            raise Refusal(
                errors.TOKEN_INVALID, "What you signed in with is not accepted any more; sign in again."
            )
        return session, digest, caller


class SessionGate:
    """Opens sessions. `now` gives aware times."""

    def __init__(
        self,
        issuer: SessionIssuer,
        tickets: EventTickets,
        callers: SessionCallers,
        now: Callable[[], datetime],
    ) -> None:
        self._callers = callers
        self._issuer = issuer
        self._tickets = tickets
        self._now = now

    def open(self, caller: Caller, network: str, certificate: str = "") -> str:
        """Return a session of this caller, under this certificate of a team where they came with one."""
        return self._issuer.issue(caller, network, certificate)

    async def redeem(self, ticket: str, vin: str = "") -> str:
        """Return the session that a ticket was given for: one for this vehicle's stream, or without one for the
        WebSocket. Raises Refusal TOKEN_INVALID, StorageUnavailableError.
        """
        try:
            return await self._tickets.use(ticket, at=self._now(), vin=vin)
        except EventTicketUnknownError:
            raise Refusal(
                errors.TOKEN_INVALID,
                "The ticket is none, was used or is too old; ask for another one.",
                headers={CHALLENGE: 'Bearer realm="remote-door-control", error="invalid_token"'},
            ) from None

    async def redeem_for_stream(self, ticket: str, vin: str) -> tuple[Session, bytes, Caller]:
        """Return in whose name a ticket opens this vehicle's stream: the session, its digest and its caller. Raises
        what `redeem` raises, and Refusal TOKEN_EXPIRED.
        """
        return await self._callers.caller_of(await self.redeem(ticket, vin))

    async def ticket_for(self, session: Session, vin: str = "") -> str:
        """Return a ticket in this session's name, for the vehicle's stream, or without one for the WebSocket. Raises
        StorageUnavailableError.
        """
        return await usecases.create_ticket(self._tickets, session.token, self._now, vin)


class SessionWatches:
    """Authorizes watches for the holders of sessions."""

    def __init__(self, callers: SessionCallers, authorizer: RequestAuthorizer[Any]) -> None:
        self._callers = callers
        self._authorizer = authorizer

    async def authorize(self, token: str, vins: Sequence[str], correlation_id: str) -> list[str | Refusal]:
        """Return a capability for each vehicle, or why there is none. Raises Refusal TOKEN_INVALID or TOKEN_EXPIRED,
        StorageUnavailableError.

        Once the caller has asked too often about vehicles that are not theirs, that is the answer for all that follow.
        """
        session, digest, caller = await self._callers.caller_of(token)
        answers: list[str | Refusal] = []
        for vin in vins:
            asked = WatchRequest(
                session.network,
                UPDATES_READ,
                _SERVED_BY,
                "read",
                correlation_id=correlation_id,
                written_vin=vin,
                certificate=session.certificate,
            )
            try:
                permit = await self._authorizer.authorize_as(digest, caller, asked)
                answers.append(permit.capability)
            except AccessDeniedError as denied:
                answers.append(refusal_of_denial(denied))
            except CaseNotOpenError as closed:  # all of an agent's are because of one case
                raise refusal_of_sign_in(closed) from closed
            except RateLimitError as refusal:
                answers.append(refusal)
                if refusal.limit_class == UNKNOWN:  # of the caller: the record is not asked about the others
                    return answers + [refusal] * (len(vins) - len(answers))
            except Refusal as refusal:  # of this vehicle
                answers.append(refusal)
        return answers
