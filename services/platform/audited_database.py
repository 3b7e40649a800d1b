"""A database whose writes carry their audit entries: what is done, and that it was done, are one commit.

A store says `note_act(connection, act)` where it does something. Whose call it was, how they had signed in and under
which id it came is added here. Of a call's acts the last is the decision's entry; the others tell what else followed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from services.platform.audit_entry import (
    AuditRecord,
    DecisionOutcome,
    case_in,
    encoded,
    factors_of,
    require_names,
)
from services.platform.call import call_being_served

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from services.platform.audit_entry import EntryIds
    from services.platform.audit_outbox import AuditOutbox
    from services.platform.call import Call
    from services.platform.database import Database

T = TypeVar("T")
_ACTS = "audited acts"


@dataclass(frozen=True, slots=True)
class AuditedAct:
    """Something that was done: `kind` a word of the service's, `by` who did it (empty: who calls), `subject` whom it is
    about (empty: the same).

    Raises ValueError for a kind, or a name in `detail`, that the ledger does not take. They are a service's own words:
    whoever writes a wrong one sees it at once.
    """

    kind: str
    at: datetime
    by: str = ""
    subject: str = ""
    resource: str = ""
    rule: str = ""
    detail: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_names(self.kind, self.detail)


def note_act(connection: Connection, act: AuditedAct) -> None:
    """Have this act's entry be part of the transaction; nothing where the database is not an AuditedDatabase."""
    acts: list[AuditedAct] | None = connection.info.get(_ACTS)
    if acts is not None:
        acts.append(act)


class AuditedDatabase:
    """Another database, with the entries of what is written in its outbox."""

    def __init__(self, database: Database, outbox: AuditOutbox, ids: EntryIds) -> None:
        self._database = database
        self._outbox = outbox
        self._ids = ids

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction with the entries of its acts; return its answer once the commit is durable.

        Raises what Database.write does.
        """
        call = call_being_served()

        def run(connection: Connection) -> tuple[T, bool]:
            acts: list[AuditedAct] = []
            connection.info[_ACTS] = acts
            try:
                answer = work(connection)
            finally:
                connection.info.pop(_ACTS, None)
            decided = call is not None and call.changes and not call.is_recorded
            records = [_record(act, call, decides=decided and act is acts[-1]) for act in acts]
            self._outbox.add(connection, [encoded(record, self._ids.next()) for record in records])
            return answer, decided and bool(acts)

        answer, recorded = await self._database.write(run)
        if recorded and call is not None:
            call.note_recorded()
        return answer

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which only reads. Raises StorageUnavailableError when the database is away."""
        return await self._database.read(work)

    async def close(self) -> None:
        """Finish what has begun and let go of every connection."""
        await self._database.close()


def _record(act: AuditedAct, call: Call | None, *, decides: bool) -> AuditRecord:
    """Return the record of an act; without a call a rule of the service's did it."""
    granted = call.capability if call else None
    by = act.by or (granted.actor if granted else call.peer if call else "")
    return AuditRecord(
        act.kind,
        act.at,
        DecisionOutcome.ALLOWED if decides else DecisionOutcome.NONE,
        resource=act.resource,
        subject=act.subject or by,
        # An agent's acts are the agent's, also where the customer's right is the one that counts.
        actor=granted.actor if granted and by in {granted.subject, granted.actor} else by,
        source=granted.source if granted else "",
        factors=factors_of(granted) if granted else (),
        rule=act.rule or (granted.role if granted else "certificate" if call else "rule"),
        action=next(iter(granted.actions), "") if granted else "",
        correlation_id=call.correlation_id if call else "",
        detail={**act.detail, **(case_in(granted) if granted else {})},
    )
