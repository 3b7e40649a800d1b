"""That an agent may act for a customer: by the customer's spoken code, or by a case that a second agent has approved.

The issuer only makes and takes these; what an agent may then do is the access service's to say.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, delete, or_, update

from issuer.accounts import AGENT, CUSTOMER
from issuer.exchange_types import APPROVED_CASE, SPOKEN_CODE
from issuer.limits import MANDATE_TRY
from issuer.store import MandateRow, digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from issuer.accounts import Accounts
    from issuer.limits import FailureLimits
    from issuer.store import IssuerStore

SPOKEN_SECONDS = 300
CASE_SECONDS = 900
_DIGITS = 8
_VIN = re.compile(r"[A-HJ-NPR-Z0-9]{17}")
_CASE = re.compile(r"[A-Za-z0-9._-]{1,64}")


class MandateRefusedError(Exception):
    """It is not given or not taken; the text says why, as far as its reader may know."""


@dataclass(frozen=True, slots=True)
class Mandate:
    """For whom, on which vehicle, because of which case."""

    subject: str
    vin: str
    case: str


class Mandates:
    """Gives and takes them."""

    def __init__(
        self, store: IssuerStore, accounts: Accounts, limits: FailureLimits, now: Callable[[], float]
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._limits = limits
        self._now = now

    def speak(self, customer: str, vin: str, case: str) -> str:
        """Return a code for the customer to tell the agent. Raises MandateRefusedError."""
        _check(vin, case)
        if self._accounts.kind_of(customer) != CUSTOMER:
            raise MandateRefusedError("only a customer can let somebody act for them")
        code = f"{secrets.randbelow(10**_DIGITS):0{_DIGITS}d}"
        self._add(SPOKEN_CODE, code, Mandate(customer, vin, case), asked_by=customer, seconds=SPOKEN_SECONDS)
        return code

    def open_case(self, agent: str, mandate: Mandate) -> None:
        """Let an agent ask for a colleague's approval. Raises MandateRefusedError."""
        _check(mandate.vin, mandate.case)
        if self._accounts.kind_of(agent) != AGENT or self._accounts.kind_of(mandate.subject) != CUSTOMER:
            raise MandateRefusedError("an agent asks for this, about a customer")
        self._add(APPROVED_CASE, mandate.case, mandate, asked_by=agent, seconds=CASE_SECONDS)

    def approve_case(self, agent: str, asked_by: str, mandate: Mandate) -> None:
        """Let another agent approve what `asked_by` has asked for. Raises MandateRefusedError."""
        if self._accounts.kind_of(agent) != AGENT:
            raise MandateRefusedError("an agent approves this")
        with self._store.transaction() as session:
            row = session.get(MandateRow, _key(APPROVED_CASE, mandate.case, asked_by))
            if row is None or row.used or row.expires_at <= self._now():
                raise MandateRefusedError("there is no such open case of this agent")
            if row.asked_by == agent:
                raise MandateRefusedError("another agent than the one who asked must approve it")
            if (row.subject, row.vin) != (mandate.subject, mandate.vin):
                raise MandateRefusedError("the case is about another customer or vehicle")
            row.approved_by = agent
            session.add(row)

    def take(self, kind: str, secret: str, agent: str, address: str) -> Mandate:
        """Use it up for this agent. Raises MandateRefusedError, and TooManyFailuresError for who guesses."""
        started = self._limits.begin(MANDATE_TRY, agent, address)
        with self._store.transaction() as session:
            where = col(MandateRow.mandate_hash) == _key(kind, secret, agent)
            row = session.get(MandateRow, _key(kind, secret, agent))
            good = (
                row is not None
                and row.expires_at > self._now()
                and (kind == SPOKEN_CODE or (row.approved_by is not None and row.asked_by == agent))
            )
            if good:
                used = session.exec(
                    update(MandateRow).where(where, col(MandateRow.used).is_(False)).values(used=True)
                )
                good = used.rowcount == 1
        if row is None or not good:
            raise MandateRefusedError("it is not good, or not any more")
        # One that was right says nothing of the wrong ones: they were other customers'.
        self._limits.was_right(started, clear=False)
        return Mandate(row.subject, row.vin, row.case)

    def _add(self, kind: str, secret: str, mandate: Mandate, *, asked_by: str, seconds: int) -> None:
        key, now = _key(kind, secret, asked_by), int(self._now())
        row = MandateRow(
            mandate_hash=key,
            kind=kind,
            subject=mandate.subject,
            vin=mandate.vin,
            case=mandate.case,
            asked_by=asked_by,
            expires_at=now + seconds,
        )
        try:
            with self._store.transaction() as session:
                # One that is used up, or was never used in its time, is in nobody's way.
                over = or_(col(MandateRow.used).is_(True), col(MandateRow.expires_at) <= now)
                session.exec(delete(MandateRow).where(col(MandateRow.mandate_hash) == key, over))
                session.add(row)
        except IntegrityError as error:
            raise MandateRefusedError("there is one already that can be used") from error


def _key(kind: str, secret: str, agent: str) -> str:
    """Return what a mandate is found by: a case also by the agent who has asked, so that two can have one of it."""
    return digest(f"{kind} {secret} {agent}" if kind == APPROVED_CASE else f"{kind} {secret}")


def _check(vin: str, case: str) -> None:
    if not _VIN.fullmatch(vin) or not _CASE.fullmatch(case):
        raise MandateRefusedError("vin or case is not one")
