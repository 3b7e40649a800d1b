"""What operators and rooms can ask about grants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from services.access.domain import Allowance, Grant, NewGrant


@dataclass(frozen=True, slots=True)
class Question:
    """May `subject`, for whom `actor` acts (empty: the subject itself), do `action` to `vin` now?"""

    subject: str
    vin: str
    action: str
    actor: str = ""


class GrantRecord(Protocol):
    """Where grants are kept. Every method may raise StorageUnavailable."""

    async def create(self, new: NewGrant, *, by: str, at: datetime) -> Grant:
        """Keep it, with its audit row. The same again answers with what is kept; else GrantConflict."""

    async def revoke(self, grant_id: str, *, by: str, at: datetime) -> Grant:
        """End it, with its audit row and the message to the other rooms. Raises GrantUnknown."""

    async def on_vehicle(self, vin: str) -> list[Grant]:
        """All of a vehicle's, ended ones included, oldest first."""

    async def answer(self, questions: Sequence[Question], *, at: datetime) -> list[Allowance | None]:
        """What allows each, or None. Read from the record itself; a locked account, subject's or actor's, has none."""


class Forget(Protocol):
    """The memory of standings."""

    def __call__(self) -> None:
        """Believe nothing that was read before."""


async def create_grant(record: GrantRecord, forget: Forget, new: NewGrant, *, by: str, at: datetime) -> Grant:
    """Give a right. Raises ActionsBeyondRole, GrantConflict. Repeating it changes nothing."""
    new.check()
    grant = await record.create(new, by=by, at=at)
    forget()
    return grant


async def revoke_grant(record: GrantRecord, forget: Forget, grant_id: str, *, by: str, at: datetime) -> Grant:
    """End a right: when this returns, this process lets nothing through for it. Raises GrantUnknown."""
    try:
        return await record.revoke(grant_id, by=by, at=at)
    finally:
        # Also when the answer got lost: the right may have ended all the same.
        forget()


async def list_grants(record: GrantRecord, vin: str) -> list[Grant]:
    """The rights on a vehicle, the ended ones included, oldest first."""
    return await record.on_vehicle(vin)


async def check_grants(
    record: GrantRecord, questions: Sequence[Question], *, at: datetime
) -> list[Allowance | None]:
    """For each question what allows it, None where nothing does; never from memory."""
    return await record.answer(questions, at=at)
